"""Frames of anything that is a video: a file, a folder, a camera, a list, an iterable."""

from __future__ import annotations

import glob
import math
import os
import re
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from mmdevis.datasets.transforms.load_frame import FrameError, LoadFrame

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')

# Seconds that closing waits for a camera or an address that does not answer.
CLOSE_TIMEOUT = 5.0

Source = str | os.PathLike | int | Iterable[np.ndarray | str | os.PathLike]


class FrameSource(ABC):
    """Frames of one video, read one at a time while they are asked for.

    Iterate over it, or use it as a context manager; files and cameras are released at the end, on
    `close()`, and when an exception ends the loop.

    Attributes:
        name (str): Short name, for result files.
        where (str): What messages call it: the path or address.
        num_frames (int | None): Number of frames where it is known (a video file may be wrong).
        fps (float | None): Frames per second where it is known.
    """

    def __init__(self, name: str, where: str, num_frames: int | None, fps: float | None) -> None:
        self.name = name
        self.where = where
        self.num_frames = num_frames
        self.fps = fps

    @abstractmethod
    def _read(self) -> Iterator[np.ndarray]:
        """Yields the frames."""

    def close(self) -> None:  # noqa: B027 (most sources hold nothing)
        """Releases what the source holds."""

    def __len__(self) -> int:
        if self.num_frames is None:
            raise TypeError(f'the number of frames of {self.where} is not known')
        return self.num_frames

    def __bool__(self) -> bool:
        return True  # whatever its length

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields uint8 frames (H, W, 3) in BGR order.

        Raises:
            FrameError: A frame is missing, truncated or no picture, has another size than the
                first, or there is none at all.
        """
        shape = None
        try:
            for index, frame in enumerate(self._read()):
                if shape is None:
                    shape = frame.shape
                if frame.shape != shape:
                    raise FrameError(
                        f'{self._frame_name(index)} is {frame.shape[0]} x {frame.shape[1]} (height '
                        f'x width), but the first frame is {shape[0]} x {shape[1]}. All frames of '
                        'a video must have one size: resize them first'
                    )
                yield frame
        finally:
            self.close()
        if shape is None:
            raise FrameError(f'{self.where} has no frame')

    def _frame_name(self, index: int) -> str:
        return f'{self.where}, frame {index}'

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class CaptureSource(FrameSource):
    """Frames that OpenCV decodes: a video file, a stream, a camera. They can be read once.

    Args:
        target: Path, address or camera number.
        name: Short name.
        where: What messages call it.

    Raises:
        FrameError: It cannot be opened, or has no frame.
    """

    def __init__(self, target: str | int, name: str, where: str) -> None:
        self._capture = cv2.VideoCapture(target)
        self._live = isinstance(target, int)
        if not self._capture.isOpened():
            self._capture.release()
            raise FrameError(f'{where} cannot be opened: {self._why_not(target)}')
        self._ready, self._first = self._capture.read()
        if not self._ready:
            self._capture.release()
            raise FrameError(
                f'{where} has no frame that can be decoded; it may be truncated or hold no video'
            )
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        super().__init__(
            name,
            where,
            num_frames=int(count) if math.isfinite(count) and count > 0 else None,
            fps=float(fps) if math.isfinite(fps) and fps > 0 else None,
        )
        self._started = False
        # OpenCV crashes when a capture is released while another thread reads from it.
        self._reading = threading.Lock()
        self._closing = False

    @staticmethod
    def _why_not(target: str | int) -> str:
        if isinstance(target, int):
            return f'there is no camera {target}, or something else is using it'
        if '://' in target:
            return 'is the address right and reachable, and does it give a video?'
        return (
            f'{os.path.getsize(target)} bytes that OpenCV does not know as a video. It may be '
            'truncated; `ffmpeg -i IN -c:v libx264 OUT.mp4` converts most formats'
        )

    def _read(self) -> Iterator[np.ndarray]:
        if self._started or not self._capture.isOpened():
            raise RuntimeError(f'{self.where} can only be read once; open it again')
        self._started = True
        count, frame = 0, self._first
        self._first = None
        while self._ready:
            count += 1
            yield frame
            with self._reading:
                if self._closing:
                    self._capture.release()
                    return
                self._ready, frame = self._capture.read()
        if self.num_frames is not None and count < self.num_frames and not self._live:
            warnings.warn(
                f'{self.where} says that it has {self.num_frames} frames, but only {count} can be '
                'read; it may be truncated',
                stacklevel=3,
            )

    def close(self) -> None:
        """Releases the file or camera; one that another thread reads from, after this frame."""
        self._closing = True
        if self._reading.acquire(timeout=CLOSE_TIMEOUT):
            self._capture.release()
            self._reading.release()


class ItemSource(FrameSource):
    """Frames out of an iterable of pictures or of paths of pictures.

    Args:
        items: uint8 arrays (H, W, 3) in BGR order, or paths. A sequence can be read again and
            again, anything else once.
        name: Short name.
        where: What messages call it.
    """

    def __init__(self, items: Iterable[Any], name: str, where: str) -> None:
        num_frames = len(items) if hasattr(items, '__len__') else None
        super().__init__(name, where, num_frames, fps=None)
        self._items = items
        self._load = LoadFrame()

    def _read(self) -> Iterator[np.ndarray]:
        for index, item in enumerate(self._items):
            if isinstance(item, (str, os.PathLike)):
                yield self._load.transform({'img_path': str(item), 'frame_id': index})['img']
            else:
                yield self._checked(item, index)

    def _checked(self, item: Any, index: int) -> np.ndarray:
        if not isinstance(item, np.ndarray):
            raise FrameError(
                f'{self._frame_name(index)} is a {type(item).__name__}, expected a uint8 array '
                '(height, width, 3) in BGR order, or a path'
            )
        if item.dtype != np.uint8 or item.ndim != 3 or item.shape[2] != 3:
            raise FrameError(
                f'{self._frame_name(index)} is {item.dtype} of shape {item.shape}, expected uint8 '
                '(height, width, 3) in BGR order'
            )
        return item

    def _frame_name(self, index: int) -> str:
        item = self._items[index] if isinstance(self._items, Sequence) else None
        path = f', file {item}' if isinstance(item, (str, os.PathLike)) else ''
        return f'{self.where}, frame {index}{path}'


def natural_key(path: str | os.PathLike) -> list[tuple[int, int, str]]:
    """Sorting key that puts `img2` before `img10`.

    Args:
        path: A path; only its file name counts.

    Returns:
        The key.
    """
    parts = re.split(r'(\d+)', Path(path).name)
    return [(1, int(part), part) if part.isdigit() else (0, 0, part) for part in parts]


def _folder(path: Path) -> FrameSource:
    entries = list(path.iterdir())
    images = [
        entry
        for entry in entries
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith('.')
    ]
    if not images:
        folders = [entry.name for entry in entries if entry.is_dir()]
        inside = f'; give one of its folders ({", ".join(sorted(folders)[:5])})' if folders else ''
        raise FrameError(
            f'folder {path} has no picture ({", ".join(IMAGE_SUFFIXES)}) among its {len(entries)} '
            f'entries{inside}'
        )
    return ItemSource(sorted(images, key=natural_key), path.resolve().name, f'folder {path}')


def open_frames(source: Source) -> FrameSource:
    """Opens whatever is a video.

    Args:
        source: Video file; folder of pictures (in natural order: 2 before 10); one picture; pattern
            of pictures like `'frames/*.jpg'`; list of paths; number of a camera, also as a string;
            address that OpenCV opens (`rtsp://...`); array (T, H, W, 3), any iterable of arrays
            (H, W, 3), uint8 in BGR order, or what this function returned.

    Returns:
        The frames; iterate over it, inside `with` where the loop may end early.

    Raises:
        FrameError: There is no such file or folder, it cannot be opened, or holds no frame.
        TypeError: `source` is none of these.

    Examples:
        >>> with open_frames('video.mp4') as frames:
        ...     for frame in frames:
        ...         show(frame)
    """
    if isinstance(source, FrameSource):
        return source
    if isinstance(source, (bool, bytes)) or source is None:
        raise TypeError(f'{source!r} is not a source of frames')
    if isinstance(source, int):
        return CaptureSource(source, f'camera{source}', f'camera {source}')
    if not isinstance(source, (str, os.PathLike)):
        if isinstance(source, np.ndarray) and source.ndim != 4:
            raise FrameError(f'an array of frames must be (T, H, W, 3), got {source.shape}')
        if not isinstance(source, Iterable):
            raise TypeError(f'a {type(source).__name__} is not a source of frames')
        return ItemSource(source, 'frames', 'the given frames')

    path, text = Path(source), str(source)
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return ItemSource([path], path.stem, str(path))
        return CaptureSource(text, path.stem, text)
    if '://' in text:
        return CaptureSource(text, 'stream', text)
    if text.isdigit():
        return CaptureSource(int(text), f'camera{text}', f'camera {text}')
    if glob.has_magic(text):
        files = sorted(glob.glob(text), key=natural_key)
        if not files:
            raise FrameError(f'no file matches {text}')
        return ItemSource(files, path.parent.name or 'frames', text)
    raise FrameError(f'{text} does not exist (no file, no folder, no address, no camera number)')
