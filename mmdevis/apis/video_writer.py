"""Writes a video file that is complete or not there."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np


class VideoWriter:
    """Writes frames into an mp4 file through OpenCV.

    Frames go to a temporary file in the same folder, which takes its name when the video is
    complete. H.264 is written where OpenCV's build has an encoder (browsers play it), else MPEG-4.

    Args:
        path: The file, `.mp4`. Its folder is made if needed.
        fps: Frames per second.
        force: Whether an existing file may be replaced.

    Raises:
        FileExistsError: The file exists and `force` is not set.
        ValueError: `path` does not end in `.mp4`, or `fps` is not a positive number.

    Examples:
        >>> with VideoWriter('out.mp4', fps=25) as writer:
        ...     for frame in frames:
        ...         writer.write(frame)
    """

    codecs = ('avc1', 'mp4v')

    def __init__(self, path: str | os.PathLike, fps: float, force: bool = False) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != '.mp4':
            raise ValueError(f'{self.path}: only .mp4 is written; give the file this ending')
        if not (np.isfinite(fps) and fps > 0):
            raise ValueError(f'{self.path}: fps must be positive, got {fps}')
        if self.path.exists() and not force:
            raise FileExistsError(
                f'{self.path} exists already; choose another name, remove it, or set force=True '
                '(--force) to replace it'
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.fps = float(fps)
        self.num_frames = 0
        self.codec: str | None = None
        self._temporary = self.path.with_name(f'.{self.path.stem}.{os.getpid()}.tmp.mp4')
        self._writer: cv2.VideoWriter | None = None
        self._shape: tuple[int, ...] | None = None
        self._closed = False

    def write(self, frame: np.ndarray) -> None:
        """Adds a frame.

        Args:
            frame: uint8 (H, W, 3), BGR; all frames of one size. An odd height or width is filled up
                to an even one by repeating the last row or column, as video formats want it.

        Raises:
            ValueError: The frame is not uint8 (H, W, 3), or of another size than the first.
            RuntimeError: The writer is closed, or OpenCV cannot encode the video.
        """
        if self._closed:
            raise RuntimeError(f'{self.path}: the writer is closed')
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(
                f'{self.path}, frame {self.num_frames}: expected uint8 (H, W, 3), got '
                f'{frame.dtype} of shape {frame.shape}'
            )
        if self._writer is None:
            self._shape = frame.shape
            self._writer = self._open(*frame.shape[:2])
        elif frame.shape != self._shape:
            raise ValueError(
                f'{self.path}, frame {self.num_frames}: size {frame.shape[:2]} (height, width) but '
                f'the video started with {self._shape[:2]}'
            )
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        self._writer.write(frame)
        self.num_frames += 1

    def _open(self, height: int, width: int) -> cv2.VideoWriter:
        size = (width + width % 2, height + height % 2)
        # OpenCV complains loudly about a codec that its build lacks, which is no fault here.
        # Its functions moved with OpenCV 4.14.
        log = cv2 if hasattr(cv2, 'getLogLevel') else cv2.utils.logging
        level = log.getLogLevel()
        log.setLogLevel(0)
        try:
            for codec in self.codecs:
                fourcc = cv2.VideoWriter_fourcc(*codec)
                writer = cv2.VideoWriter(str(self._temporary), fourcc, self.fps, size)
                if writer.isOpened():
                    self.codec = codec
                    return writer
                writer.release()
        finally:
            log.setLogLevel(level)
        raise RuntimeError(
            f'{self.path}: OpenCV {cv2.__version__} can write neither of {", ".join(self.codecs)} '
            f'at {size[0]}x{size[1]}; is the folder writable, and was OpenCV built with FFmpeg?'
        )

    def close(self) -> None:
        """Finishes the video and gives it its name. Nothing happens when it is closed already.

        Raises:
            RuntimeError: No frame was written, or nothing arrived on disk.
        """
        if self._closed:
            return
        try:
            if self._writer is None:
                raise RuntimeError(f'{self.path}: no frame was written, so there is no video')
            self._writer.release()
            if not self._temporary.is_file() or self._temporary.stat().st_size == 0:
                raise RuntimeError(f'{self.path}: nothing was written; is the disk full?')
            os.replace(self._temporary, self.path)
        finally:
            self.abort()

    def abort(self) -> None:
        """Ends without a video and removes what was written so far."""
        self._closed = True
        if self._writer is not None:
            self._writer.release()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error_type is None:
            self.close()
        else:
            self.abort()
