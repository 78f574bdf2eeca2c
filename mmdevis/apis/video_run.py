"""A video through a model into outputs; what ends it early still leaves complete files."""

from __future__ import annotations

import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any

import numpy as np
from tqdm import tqdm

from mmdevis.structures import FrameTracks, Track

from .frame_source import FrameSource
from .result_outputs import ResultOutput
from .vis_inferencer import VISInferencer


class StopRequest:
    """A wish to end the video here, as if it had no more frames.

    Inside `with`, Ctrl-C (and SIGTERM) is such a wish; a second one has its usual effect.

    Attributes:
        requested (bool): Whether the video is to end.
        by_signal (bool): Whether a signal asked for it.
    """

    def __init__(self) -> None:
        self.requested = False
        self.by_signal = False
        self._handlers: dict[int, Any] = {}

    def set(self) -> None:
        """Asks for the end."""
        self.requested = True

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # others get no signals
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._restore()
        self.set()
        self.by_signal = True
        print('\nstopping; the files are completed. Once more: stop at once', file=sys.stderr)

    def _restore(self) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())


@dataclass
class RunSummary:
    """How a run went.

    Attributes:
        num_frames (int): Frames that were written.
        lines (list[str]): What was written, for people, one per output.
        errors (list[Exception]): What ended the run early, or kept an output from being completed.
    """

    num_frames: int = 0
    lines: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)


def paired_frames(
    inferencer: VISInferencer,
    source: FrameSource,
    stop: StopRequest | None = None,
    **options: Any,
) -> Generator[tuple[np.ndarray, FrameTracks], None, list[Track]]:
    """Pictures with what was found on them; pictures wait only until their result is final.

    Args:
        inferencer: The model.
        source: Where frames come from; read once.
        stop: No more frames are read once it is set.
        **options: As for `VISInferencer.stream`.

    Yields:
        The frame, uint8 (H, W, 3) BGR, and its tracks.

    Returns:
        The finished tracks.
    """
    waiting: deque[np.ndarray] = deque()

    def remembered() -> Iterator[np.ndarray]:
        for frame in source:
            if stop is not None and stop.requested:
                return
            waiting.append(frame)
            yield frame

    with closing(inferencer.stream(remembered(), **options)) as stream:
        while True:
            try:
                found = next(stream)
            except StopIteration as end:
                return end.value
            yield waiting.popleft(), found


def write_results(
    pairs: Generator[tuple[np.ndarray, FrameTracks], None, list[Track]],
    outputs: Sequence[ResultOutput],
    total: int | None = None,
    name: str = '',
) -> RunSummary:
    """Feeds outputs and completes them, also when the video breaks off.

    An error of the source, the model or an output ends the run; every output except the one at
    fault is completed with the frames that were final by then. Only `KeyboardInterrupt` leaves all
    of them as they are.

    Args:
        pairs: Frames and tracks, such as `paired_frames`.
        outputs: Where they go.
        total: Number of frames if known, for the progress bar.
        name: What the progress bar calls the video.

    Returns:
        What was written, and what went wrong.

    Raises:
        Exception: What went wrong before the first frame was final.
    """
    summary = RunSummary()
    tracks: list[Track] | None = None
    faulty: ResultOutput | None = None
    with closing(pairs), progress_bar(total, name) as bar:
        try:
            while True:
                try:
                    frame, found = next(pairs)
                except StopIteration as end:
                    tracks = end.value
                    break
                for output in outputs:
                    faulty = output
                    output.add(frame, found)
                    faulty = None
                summary.num_frames += 1
                bar.update()
        except Exception as error:
            if not summary.num_frames:
                raise
            summary.errors.append(error)
    for output in outputs:
        if output is faulty:
            continue
        try:
            summary.lines.append(output.finish(tracks))
        except Exception as error:  # the others can still be completed
            summary.errors.append(error)
    return summary


def progress_bar(total: int | None, name: str) -> tqdm:
    """Bar with frames per second and, where the length is known, the time left.

    Args:
        total: Number of frames if known.
        name: What is worked on.
    """
    shown = '{desc}: {n_fmt} frames, {rate_noinv_fmt}, {elapsed} passed'
    if total is not None:
        shown = (
            '{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} frames, {rate_noinv_fmt}, '
            '{remaining} left'
        )
    return tqdm(
        total=total,
        desc=name,
        unit=' frames',
        bar_format=shown,
        dynamic_ncols=True,
        # A log file keeps every line.
        mininterval=0.2 if sys.stderr.isatty() else 10,
    )
