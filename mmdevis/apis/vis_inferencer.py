"""Track objects in videos: files, folders, cameras or arrays in, tracks out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from os import PathLike
from typing import NamedTuple

import numpy as np
import torch
from mmdet.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope, init_default_scope

from mmdevis.structures import FrameTracks, Track
from mmdevis.utils.checkpoint import load_checkpoint_strictly
from mmdevis.utils.memory_format import lay_out_for_inference

from .config_names import find_config
from .frame_source import FrameError, Source, open_frames
from .read_ahead import ReadAhead
from .streaming import VideoStream

PRECISIONS = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@dataclass
class VideoResult:
    """All that was found in a video.

    Attributes:
        frames: One entry per frame, in order.
        tracks: Finished tracks with class, score and masks of the whole video; without those that
            ``on_track`` was given.
        class_names: Name of each label, empty if unknown.
    """

    frames: list[FrameTracks] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    class_names: tuple[str, ...] = ()


class VISInferencer:
    """Run a video model on any source of frames.

    The model holds no state of a video, so one inferencer can run several streams at once.

    Args:
        config: Config file, name of one of the project's configs such as
            ``'devis_r50_4xb1-9e_youtubevis2019'``, or config with ``model`` and
            ``test_dataloader``.
        weights: Checkpoint; None keeps the random initialisation (for trying things out).
        device: Such as ``'cpu'`` or ``'cuda:0'``; ``'auto'`` takes a GPU if there is one.

    Raises:
        FileNotFoundError: If there is no such config.
        CheckpointError: If the checkpoint cannot be read or belongs to another config.

    Examples:
        >>> inferencer = VISInferencer('devis_r50_4xb1-9e_youtubevis2019', 'devis.pth')
        >>> for frame in inferencer.stream('video.mp4'):
        ...     print(frame.frame_index, frame.track_ids, frame.bboxes)
    """

    def __init__(
        self,
        config: str | PathLike | Config,
        weights: str | PathLike | None = None,
        device: str = 'auto',
    ) -> None:
        cfg = config if isinstance(config, Config) else Config.fromfile(find_config(config))
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        self.device = torch.device(device)
        if DefaultScope.get_current_instance() is None:
            init_default_scope('mmdet')
        self._frame_pipeline = _frame_pipeline(cfg)
        model_cfg = cfg.model.copy()
        # Weights of the backbone alone would be overwritten or, without a checkpoint, fetched.
        model_cfg.backbone.init_cfg = None
        self.model = MODELS.build(model_cfg)
        self.class_names: tuple[str, ...] = ()
        if weights is None:
            warnings.warn('no weights are given: the model is untrained', stacklevel=2)
            self.model.init_weights()
        else:
            meta = load_checkpoint_strictly(self.model, weights).get('meta', {})
            self.class_names = tuple((meta.get('dataset_meta') or {}).get('classes', ()))
        self.model.to(self.device).eval()
        lay_out_for_inference(self.model)

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
        *,
        latency: str = 'exact',
        batch_size: int = 1,
        precision: str = 'fp32',
        input_size: tuple[int, int] | None = None,
        top_k: int | None = None,
        max_missing: int | None = None,
        keep_masks: bool = True,
        tracker: dict | None = None,
        on_track: Callable[[Track], None] | None = None,
        read_ahead: int = 4,
    ) -> Generator[FrameTracks, None, list[Track]]:
        """Yield the frames of a source as they become final, in order and each once.

        Only the newest frames are held as pictures. The generator's return value is the finished
        tracks; for an endless video set ``max_missing`` and take them with ``on_track``, or leave
        their masks out with ``keep_masks=False``.

        When the source raises, what was final by then is yielded first. Then, and when the
        generator is closed or interrupted, the source, its thread and the stream are released.

        Args:
            source: Video file, image folder, list of images, camera index, address that OpenCV
                opens, or an iterable of uint8 frames (H, W, 3) in BGR order.
            stride: Frames between the starts of clips; None takes the config's.
            max_frames: Stop after so many frames; None reads to the end.
            latency: ``'exact'``, the result of the video as a whole, or ``'low'``: a frame waits
                for at most T - 1 others, and up to S - 1 frames near the end may differ.
            batch_size: Clips per forward pass, for files. Frames wait longer; scores and masks
                before thresholding differ by rounding.
            precision: ``'fp32'``, ``'bf16'`` or ``'fp16'`` (autocast).
            input_size: (width, height) that frames are fitted into, keeping their ratio; None does
                what the config does.
            top_k: Instances per clip; None takes the config's ``test_cfg.max_per_clip``.
            max_missing: Tracks unseen for more than so many frames are finished and forgotten.
            keep_masks: Whether the finished tracks hold their run-length masks.
            tracker: Other arguments of the tracker to replace, such as ``dict(reid_window=12)``.
            on_track: Called with each track as it finishes, which is then not in the return value.
            read_ahead: Frames that a thread reads and resizes ahead; 0 reads in this thread.

        Yields:
            What is on each frame.

        Returns:
            The finished tracks that ``on_track`` was not given, by number.

        Raises:
            FrameError: If the source cannot be opened or read; names file and frame.
            ValueError: If an option is out of range.
        """
        if precision not in PRECISIONS:
            raise ValueError(f'precision must be one of {", ".join(PRECISIONS)}, got {precision!r}')
        if max_frames is not None and max_frames < 1:
            raise ValueError(f'max_frames must be at least 1, got {max_frames}')
        overrides = dict(tracker or {})
        if max_missing is not None:
            overrides['max_missing'] = max_missing
        if not keep_masks:
            overrides['keep_segmentations'] = False
        open_stream = partial(
            self.model.open_stream,
            stride=stride,
            latency=latency,
            batch_size=batch_size,
            max_instances=top_k,
            dtype=PRECISIONS[precision],
            **overrides,
        )
        # The settings are looked at before the source is opened or a frame is read.
        open_stream((1, 1), (1, 1)).release()
        return self._stream(
            source,
            max_frames,
            open_stream,
            _Prepare(_resized(self._frame_pipeline, input_size)),
            on_track,
            read_ahead,
        )

    @staticmethod
    def _stream(
        source: Source,
        max_frames: int | None,
        open_stream: Callable[..., VideoStream],
        prepare: _Prepare,
        on_track: Callable[[Track], None] | None,
        read_ahead: int,
    ) -> Generator[FrameTracks, None, list[Track]]:
        """The generator behind :meth:`stream`."""
        tracks: list[Track] = []
        take = tracks.append if on_track is None else on_track
        stream: VideoStream | None = None
        with ExitStack() as held:
            source = held.enter_context(open_frames(source))
            pictures = _first(source, max_frames)
            frames: Iterable[_Frame] = map(prepare, pictures)
            if read_ahead:
                frames = held.enter_context(ReadAhead(pictures, read_ahead, prepare))
            for frame in frames:
                if stream is None:
                    stream = held.enter_context(open_stream(frame.img_shape, frame.ori_shape))
                yield from stream.push(frame.image)
                for track in stream.pop_finished():
                    take(track)
            if stream is None:
                raise FrameError(f'{source.where} has no frame')
            last, finished = stream.close()
            yield from last
            for track in finished:
                take(track)
        return sorted(tracks, key=lambda track: track.track_id)


class _Frame(NamedTuple):
    """A frame as the model takes it."""

    image: torch.Tensor  # (3, h, w) uint8
    img_shape: tuple[int, int]
    ori_shape: tuple[int, int]


class _Prepare:
    """The test pipeline for one frame, without loading it from disk."""

    def __init__(self, transforms: list[dict]) -> None:
        steps = [dict(type='LoadImageFromNDArray'), *transforms]
        self._transform = Compose([TRANSFORMS.build(step) for step in steps])

    def __call__(self, frame: np.ndarray) -> _Frame:
        data = self._transform(dict(img=frame))
        image = torch.from_numpy(np.ascontiguousarray(data['img'].transpose(2, 0, 1)))
        return _Frame(image, tuple(data['img_shape'][:2]), tuple(frame.shape[:2]))


def _first(frames: Iterable[np.ndarray], count: int | None) -> Iterator[np.ndarray]:
    """The first frames; the iterator over all of them is closed with this one."""
    iterator = iter(frames)
    try:
        yield from islice(iterator, count)
    finally:
        iterator.close()


def _resized(pipeline: list[dict], size: tuple[int, int] | None) -> list[dict]:
    """The pipeline with another size of its frames."""
    if size is None:
        return pipeline
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f'input_size must be (width, height) in pixels, got {size}')
    resize = dict(type='Resize', scale=tuple(size), keep_ratio=True)
    others = [step for step in pipeline if step['type'] not in ('Resize', 'mmdet.Resize')]
    return [resize, *others]


def _frame_pipeline(cfg: Config) -> list[dict]:
    """Test transforms of one frame after loading."""
    (pack,) = [t for t in cfg.test_dataloader.dataset.pipeline if t['type'] == 'PackLazyVideo']
    loader, *transforms = pack.get('frame_pipeline', [dict(type='LoadFrame')])
    if loader['type'] != 'LoadFrame':
        raise ValueError(
            "the test pipeline's PackLazyVideo.frame_pipeline must begin with LoadFrame, got "
            f'{loader["type"]}'
        )
    return transforms
