"""Normalise, pad and batch clips; leave videos that are read on demand alone."""

from collections.abc import Sequence

import torch
from mmdet.models.data_preprocessors import TrackDataPreprocessor
from mmdet.registry import MODELS
from mmdet.structures import TrackDataSample
from mmengine.model.base_model.data_preprocessor import CastData
from torch import Tensor


@MODELS.register_module()
class ClipDataPreprocessor(TrackDataPreprocessor):
    """MMDetection's preprocessor for clips, plus lazily read videos.

    Tensors (training clips, whole short videos) are handled as MMDetection does. A video that is
    read frame by frame stays as it is: the model asks :meth:`clip` for each clip it runs, so a
    video never has to fit into memory.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data: ``inputs``, a list of (T, 3, h, w) uint8 tensors or of lazily read videos, and
                ``data_samples``.
            training: Whether this is a training step.

        Returns:
            ``inputs``, (B, T, 3, H, W) float or the list of videos, and ``data_samples``.
        """
        if isinstance(data['inputs'][0], Tensor):
            return super().forward(data, training)
        return dict(inputs=list(data['inputs']), data_samples=data.get('data_samples'))

    def cast_data(self, data: CastData) -> CastData:
        """Move data to the model's device.

        Samples whose tensors are there already stay as they are: moving a ``TrackDataSample``
        formats every one of its frames as text, a twentieth of a training step on a CPU.
        """
        if isinstance(data, TrackDataSample) and self.device.type == 'cpu':
            return data
        return super().cast_data(data)

    def clip(self, frames: Sequence[Tensor]) -> Tensor:
        """Normalise and pad the frames of one clip.

        Args:
            frames: T uint8 frames (3, h, w) of one size, as the test pipeline leaves them.

        Returns:
            (1, T, 3, H, W) float on the model's device.
        """
        data = dict(inputs=[torch.stack(list(frames))], data_samples=None)
        return super().forward(data, training=False)['inputs']
