"""Running an exported file, alone or on a whole video."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor

from mmdevis.apis.streaming import VideoStream
from mmdevis.models.dense_heads.deformable_mask_detr_head import Trajectories, best_pairs
from mmdevis.models.dense_heads.devis_head import to_clip_prediction
from mmdevis.structures import ClipPrediction

from .clip_module import OUTPUT_NAMES
from .description import KEY, ClipDescription
from .packages import quiet_loggers, require
from .writing import EXTRA_FILE

__all__ = ['ExportedClip', 'clip_prediction']


class ExportedClip:
    """An exported clip model, of either format.

    Args:
        path: File with the ending .pt2 (``torch.export``) or .onnx.
        threads: Threads of ONNX Runtime on a CPU; 0 leaves the choice to it.
        providers: Execution providers of ONNX Runtime, best first.

    Attributes:
        description: What the file says about itself.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If ONNX Runtime is needed and missing.
        ValueError: If the file is no exported clip model.
    """

    def __init__(
        self,
        path: str | PathLike,
        threads: int = 0,
        providers: Sequence[str] = ('CPUExecutionProvider',),
    ) -> None:
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f'there is no file {path}')
        if path.suffix == '.pt2':
            text, self._run = _open_program(path)
        elif path.suffix == '.onnx':
            text, self._run = _open_onnx(path, threads, providers)
        else:
            raise ValueError(f'{path}: the ending must be .pt2 or .onnx')
        try:
            self.description = ClipDescription.from_json(text)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error

    def __call__(self, frames: Tensor) -> dict[str, Tensor]:
        """Run one clip.

        Args:
            frames: (1, T, 3, H, W) normalised.

        Returns:
            As :class:`ClipModule`.

        Raises:
            ValueError: If the frames have another shape than the graph.
        """
        expected = self.description.input_shape
        if tuple(frames.shape) != expected:
            raise ValueError(
                f'the exported model takes frames of shape {expected}, got {tuple(frames.shape)}'
            )
        return self._run(frames)

    def normalise(self, frames: Sequence[np.ndarray]) -> Tensor:
        """Bring pictures into the form that the network takes.

        Args:
            frames: T uint8 (any height, any width, 3), BGR as OpenCV reads them. They are resized
                to the size of the graph, whatever their ratio.

        Returns:
            (1, T, 3, H, W).
        """
        info = self.description
        height, width = info.size
        pictures = [
            frame if frame.shape[:2] == info.size else cv2.resize(frame, (width, height))
            for frame in frames
        ]
        clip = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        if info.bgr_to_rgb:
            clip = clip.flip(1)
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (info.mean, info.std))
        return ((clip.float() - mean) / std)[None]

    def open_stream(
        self,
        out_shape: tuple[int, int],
        stride: int | None = None,
        latency: str = 'exact',
        **tracker_overrides,
    ) -> VideoStream:
        """Start tracking one video.

        Args:
            out_shape: (H, W) wanted for the masks, usually that of the video.
            stride: Frames between clips; None takes the config's.
            latency: See :class:`VideoStream`.
            **tracker_overrides: Arguments that replace those of the tracker's config.

        Returns:
            A stream that takes uint8 frames (any height, any width, 3), BGR.
        """
        info = self.description

        def predict_clip(frames: Sequence[np.ndarray], indices: Sequence[int]) -> ClipPrediction:
            outputs = self(self.normalise(frames))
            return clip_prediction(outputs, indices, info.size, out_shape, info.max_per_clip)

        return VideoStream(
            predict_clip,
            TASK_UTILS.build({**info.tracker, **tracker_overrides}),
            info.num_frames,
            info.stride if stride is None else stride,
            latency,
        )


def clip_prediction(
    outputs: Mapping[str, Tensor],
    frame_indices: Sequence[int],
    size: tuple[int, int],
    out_shape: tuple[int, int],
    max_instances: int,
) -> ClipPrediction:
    """What the tracker takes, from what an exported model gives.

    Args:
        outputs: As of :class:`ClipModule`.
        frame_indices: (T,) numbers of the frames in the video.
        size: (H, W) of the frames that went in.
        out_shape: (H, W) wanted for the masks.
        max_instances: Pairs of trajectory and class to keep.

    Returns:
        The best pairs.
    """
    scores, boxes, masks = (outputs[name] for name in OUTPUT_NAMES)
    queries, labels = best_pairs(scores.mean(1), max_instances)
    distinct, mask_index = queries.unique(return_inverse=True)
    found = Trajectories(
        queries=queries,
        labels=labels,
        scores=scores[queries, :, labels],
        boxes=boxes[queries],
        masks=masks[distinct],
        mask_index=mask_index,
    )
    return to_clip_prediction(found, torch.as_tensor(frame_indices), size, size, out_shape)


_Run = Callable[[Tensor], dict[str, Tensor]]


def _open_program(path: Path) -> tuple[str, _Run]:
    # Programs may hold the custom op, which has to be known by then.
    import mmdevis.ops  # noqa: F401

    extra = {EXTRA_FILE: ''}
    try:
        with quiet_loggers('torch.export'):  # which prints what is raised, too
            module = torch.export.load(path, extra_files=extra).module()
    except Exception as error:  # a file of something else can raise anything
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f'{path} is no program of torch.export: {first}') from error

    device = next(module.parameters(), torch.empty(0)).device

    @torch.no_grad()
    def run(frames: Tensor) -> dict[str, Tensor]:
        return module(frames.to(device))

    return extra[EXTRA_FILE], run


def _open_onnx(path: Path, threads: int, providers: Sequence[str]) -> tuple[str, _Run]:
    require('onnxruntime')
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(path, options, providers=list(providers))
    except Exception as error:  # its exceptions have no common base
        raise ValueError(f'{path} cannot be opened by ONNX Runtime: {error}') from error

    def run(frames: Tensor) -> dict[str, Tensor]:
        values = session.run(list(OUTPUT_NAMES), {'frames': frames.cpu().numpy()})
        return dict(zip(OUTPUT_NAMES, map(torch.from_numpy, values)))

    return session.get_modelmeta().custom_metadata_map.get(KEY, ''), run
