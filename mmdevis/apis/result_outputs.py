"""Where the results of a video go, frame by frame; here those that draw them."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from mmdevis.structures import FrameTracks, Track
from mmdevis.visualization import ResultPageWriter, TrackPainter

from .result_converters import track_labels, track_scores
from .video_writer import VideoWriter


class OutputError(RuntimeError):
    """An output cannot be written or shown on this machine."""


class ResultOutput(ABC):
    """Takes the frames of one video with what was found on them.

    Inside `with`, what is not finished at the end is discarded. A file appears under its name only
    when it is finished.
    """

    def start(  # noqa: B027 (some have no use for it)
        self, class_names: Sequence[str], category_ids: Sequence[int] | None
    ) -> None:
        """Takes what is known when the model is loaded, before the first frame.

        Args:
            class_names: Name of each label, empty if unknown.
            category_ids: `id` of each label in an annotation file; None: label + 1.
        """

    @abstractmethod
    def add(self, frame: np.ndarray, found: FrameTracks) -> None:
        """Takes in the next frame.

        Args:
            frame: uint8 (H, W, 3), BGR.
            found: What was found on it.
        """

    @abstractmethod
    def finish(self, tracks: Sequence[Track] | None) -> str:
        """Completes the output with the frames that came.

        Args:
            tracks: The finished tracks; None when the video broke off.

        Returns:
            What was written, for people.
        """

    @abstractmethod
    def discard(self) -> None:
        """Removes what is not finished. Nothing happens after `finish`."""

    def __enter__(self) -> ResultOutput:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.discard()


class VideoOutput(ResultOutput):
    """The video with its tracks drawn in.

    Args:
        path: The file, `.mp4`.
        fps: Frames per second.
        score_thr: Tracks that score less up to a frame are not drawn in it.
        force: Whether an existing file may be replaced.
    """

    def __init__(self, path: Path, fps: float, score_thr: float, force: bool = False) -> None:
        self._writer = VideoWriter(path, fps, force)
        self._score_thr = score_thr
        self._painter = TrackPainter(score_thr=score_thr)

    def start(self, class_names: Sequence[str], category_ids: Sequence[int] | None) -> None:
        """Takes the names to draw."""
        self._painter = TrackPainter(class_names, score_thr=self._score_thr)

    def add(self, frame: np.ndarray, found: FrameTracks) -> None:
        """Takes in the next frame."""
        self._writer.write(paint_tracks(self._painter, frame, found))

    def finish(self, tracks: Sequence[Track] | None) -> str:
        """Completes the video."""
        self._writer.close()
        return f'{self._writer.path}: {self._writer.num_frames} frames, {self._writer.description}'

    def discard(self) -> None:
        """Removes what is not finished."""
        self._writer.abort()


class WindowOutput(ResultOutput):
    """A window on the screen; Q or Esc stops.

    Args:
        title: Of the window.
        score_thr: Tracks that score less up to a frame are not drawn in it.
        on_stop: Called when the person stops.

    Raises:
        OutputError: There is no screen.
    """

    def __init__(self, title: str, score_thr: float, on_stop: Callable[[], None]) -> None:
        # Without a screen, OpenCV's window library ends the whole process.
        screen = os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')
        if sys.platform.startswith('linux') and not screen:
            raise OutputError(
                '--show needs a screen, and there is none (neither DISPLAY nor WAYLAND_DISPLAY is '
                'set); write a file instead: --out, --html'
            )
        self._title, self._score_thr, self._on_stop = title, score_thr, on_stop
        self._painter = TrackPainter(score_thr=score_thr)
        self._opened = False
        self._count = 0

    def start(self, class_names: Sequence[str], category_ids: Sequence[int] | None) -> None:
        """Takes the names to draw."""
        self._painter = TrackPainter(class_names, score_thr=self._score_thr)

    def add(self, frame: np.ndarray, found: FrameTracks) -> None:
        """Shows the next frame.

        Raises:
            OutputError: OpenCV's build has no windows.
        """
        try:
            cv2.imshow(self._title, paint_tracks(self._painter, frame, found))
            key = cv2.waitKey(1) & 0xFF
        except cv2.error as error:
            raise OutputError(
                '--show needs an OpenCV with windows; this one is headless '
                f'(opencv-python has them, opencv-python-headless not): {error}'
            ) from error
        self._opened = True
        self._count += 1
        if key in (27, ord('q'), ord('Q')):
            self._on_stop()

    def finish(self, tracks: Sequence[Track] | None) -> str:
        """Closes the window."""
        self.discard()
        return f'shown: {self._count} frames'

    def discard(self) -> None:
        """Closes the window."""
        if self._opened:
            cv2.destroyWindow(self._title)
            self._opened = False


class PageOutput(ResultOutput):
    """A web page with the video and a timeline of its tracks.

    Args:
        page: The page, open.
    """

    def __init__(self, page: ResultPageWriter) -> None:
        self._page = page

    def start(self, class_names: Sequence[str], category_ids: Sequence[int] | None) -> None:
        """Takes the names to show."""
        self._page.class_names = tuple(class_names)

    def add(self, frame: np.ndarray, found: FrameTracks) -> None:
        """Takes in the next frame."""
        self._page.add(frame, found)

    def finish(self, tracks: Sequence[Track] | None) -> str:
        """Completes the page."""
        self._page.close()
        size = self._page.path.stat().st_size / 1e6
        return f'{self._page.path}: page with {self._page.num_frames} frames, {size:.1f} MB'

    def discard(self) -> None:
        """Removes what is not finished."""
        self._page.abort()


def paint_tracks(painter: TrackPainter, frame: np.ndarray, found: FrameTracks) -> np.ndarray:
    """Draws the tracks of a frame with the class and score that they have up to it.

    Args:
        painter: How to draw.
        frame: uint8 (H, W, 3), BGR; not changed.
        found: The tracks.

    Returns:
        uint8 (H, W, 3), BGR.
    """
    return painter.paint(
        frame, found.track_ids, track_labels(found), found.masks, track_scores(found)
    )
