"""Track objects in videos: files, folders, cameras or arrays in, tracks out."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from os import PathLike

import numpy as np
import torch
from mmdet.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope, init_default_scope

from mmdevis.structures import FrameTracks, Track
from mmdevis.utils.checkpoint import load_checkpoint_strictly

from .frame_source import FrameError, Source, open_frames
from .streaming import VideoStream


@dataclass
class VideoResult:
    """All that was found in a video.

    Attributes:
        frames: One entry per frame, in order.
        tracks: Finished tracks with class, score and masks of the whole video.
        class_names: Name of each label, empty if unknown.
    """

    frames: list[FrameTracks] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    class_names: tuple[str, ...] = ()


class VISInferencer:
    """Run a video model on any source of frames.

    The model holds no state of a video, so one inferencer can run several streams at once.

    Args:
        config: Config file or config with ``model`` and ``test_dataloader``.
        weights: Checkpoint; None keeps the random initialisation (for trying things out).
        device: Such as ``'cpu'`` or ``'cuda:0'``; ``'auto'`` takes a GPU if there is one.

    Raises:
        CheckpointError: If the checkpoint cannot be read or belongs to another config.
    """

    def __init__(
        self,
        config: str | PathLike | Config,
        weights: str | PathLike | None = None,
        device: str = 'auto',
    ) -> None:
        cfg = config if isinstance(config, Config) else Config.fromfile(config)
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        self.device = torch.device(device)
        if DefaultScope.get_current_instance() is None:
            init_default_scope('mmdet')
        model_cfg = cfg.model.copy()
        # Weights of the backbone alone would be overwritten or, without a checkpoint, fetched.
        model_cfg.backbone.init_cfg = None
        self.model = MODELS.build(model_cfg)
        self.class_names: tuple[str, ...] = ()
        if weights is None:
            self.model.init_weights()
        else:
            meta = load_checkpoint_strictly(self.model, weights).get('meta', {})
            self.class_names = tuple((meta.get('dataset_meta') or {}).get('classes', ()))
        self.model.to(self.device).eval()
        self._transform = _frame_transform(cfg)

    def __call__(self, source: Source, **options) -> VideoResult:
        """Track all objects of a video.

        Args:
            source: As for :meth:`stream`.
            **options: As for :meth:`stream`.

        Returns:
            Frames and finished tracks.
        """
        result = VideoResult(class_names=self.class_names)
        stream = self.stream(source, **options)
        while True:
            try:
                result.frames.append(next(stream))
            except StopIteration as end:
                result.tracks = end.value
                return result

    def stream(
        self,
        source: Source,
        stride: int | None = None,
        max_frames: int | None = None,
    ) -> Generator[FrameTracks, None, list[Track]]:
        """Yield the frames of a source as they become final, in order and each once.

        Memory is bounded: only the newest frames are held. The tracks of the whole video are the
        generator's return value.

        Args:
            source: Video file, image folder, list of images, camera index, address that OpenCV
                opens, or an iterable of uint8 frames (H, W, 3) in BGR order.
            stride: Frames between the starts of clips; None takes the config's.
            max_frames: Stop after so many frames; None reads to the end.

        Yields:
            What is on each frame.

        Returns:
            The finished tracks.

        Raises:
            FrameError: If the source cannot be opened or read; names file and frame.
        """
        with open_frames(source) as frames:
            stream: VideoStream | None = None
            try:
                for index, frame in enumerate(_first(frames, max_frames)):
                    data = self._transform(dict(img=frame, frame_id=index))
                    if stream is None:
                        stream = self.model.open_stream(
                            tuple(data['img_shape'][:2]), tuple(frame.shape[:2]), stride=stride
                        )
                    image = np.ascontiguousarray(data['img'].transpose(2, 0, 1))
                    yield from stream.push(torch.from_numpy(image))
                if stream is None:
                    raise FrameError(f'{frames.where} has no frame')
                last, tracks = stream.close()
                yield from last
                return tracks
            finally:
                if stream is not None and not stream.closed:
                    stream.release()


def _first(frames: Iterator[np.ndarray], count: int | None) -> Iterator[np.ndarray]:
    for index, frame in enumerate(frames):
        if index == count:
            return
        yield frame


def _frame_transform(cfg: Config) -> Compose:
    """Test transforms of one frame, without loading it from disk."""
    (pack,) = [t for t in cfg.test_dataloader.dataset.pipeline if t['type'] == 'PackLazyVideo']
    loader, *transforms = pack.get('frame_pipeline', [dict(type='LoadFrame')])
    if loader['type'] != 'LoadFrame':
        raise ValueError(
            "the test pipeline's PackLazyVideo.frame_pipeline must begin with LoadFrame, got "
            f'{loader["type"]}'
        )
    steps = [dict(type='LoadImageFromNDArray'), *transforms]
    return Compose([TRANSFORMS.build(step) for step in steps])
