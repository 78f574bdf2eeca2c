"""Writes a video file that is complete or not there."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from mmdevis.utils.pending_file import PendingFile

from .video_encoders import EncoderError, FrameEncoder, open_encoder


class VideoWriter:
    """Writes frames into an mp4 file.

    Frames go to a temporary file in the same folder, which takes its name when the video is
    complete. H.264 (browsers play it) is written where there is an encoder: the program `ffmpeg`,
    that of the package imageio-ffmpeg, or OpenCV's own. Else it is MPEG-4 Part 2.

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
        self._file = PendingFile(self.path, force)
        self.fps = float(fps)
        self.num_frames = 0
        self._encoder: FrameEncoder | None = None
        self._shape: tuple[int, ...] | None = None
        self._closed = False

    @property
    def codec(self) -> str | None:
        """Four-character code of the format, None before the first frame."""
        return None if self._encoder is None else self._encoder.codec

    @property
    def description(self) -> str:
        """Format and encoder, for people; empty before the first frame."""
        return '' if self._encoder is None else self._encoder.description

    def write(self, frame: np.ndarray) -> None:
        """Adds a frame.

        Args:
            frame: uint8 (H, W, 3), BGR; all frames of one size. An odd height or width is filled up
                to an even one by repeating the last row or column, as video formats want it.

        Raises:
            ValueError: The frame is not uint8 (H, W, 3), or of another size than the first.
            RuntimeError: The writer is closed, or the video cannot be encoded.
        """
        if self._closed:
            raise RuntimeError(f'{self.path}: the writer is closed')
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(
                f'{self.path}, frame {self.num_frames}: expected uint8 (H, W, 3), got '
                f'{frame.dtype} of shape {frame.shape}'
            )
        if self._encoder is None:
            self._shape = frame.shape
            self._encoder = self._open(*frame.shape[:2])
        elif frame.shape != self._shape:
            raise ValueError(
                f'{self.path}, frame {self.num_frames}: size {frame.shape[:2]} (height, width) but '
                f'the video started with {self._shape[:2]}'
            )
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        try:
            self._encoder.write(frame)
        except EncoderError as error:
            raise EncoderError(f'{self.path}, frame {self.num_frames}: {error}') from error
        self.num_frames += 1

    def _open(self, height: int, width: int) -> FrameEncoder:
        size = (width + width % 2, height + height % 2)
        try:
            return open_encoder(self._file.temporary, self.fps, size, self.codecs)
        except EncoderError as error:
            raise EncoderError(f'{self.path}: {error}') from error

    def close(self) -> None:
        """Finishes the video and gives it its name. Nothing happens when it is closed already.

        Raises:
            RuntimeError: No frame was written, or the encoder failed.
            OSError: Nothing arrived on disk.
        """
        if self._closed:
            return
        try:
            if self._encoder is None:
                raise RuntimeError(f'{self.path}: no frame was written, so there is no video')
            try:
                self._encoder.close()
            except EncoderError as error:
                raise EncoderError(f'{self.path}: {error}') from error
            self._file.commit()
        finally:
            self.abort()

    def abort(self) -> None:
        """Ends without a video and removes what was written so far."""
        self._closed = True
        if self._encoder is not None:
            self._encoder.abort()
        self._file.discard()

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
