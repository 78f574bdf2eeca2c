"""Encoders of video files, the best that the machine has first."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from functools import lru_cache
from os import PathLike

import cv2
import numpy as np

# H.264 encoders of FFmpeg that run on any CPU, with settings for a good picture.
_FFMPEG_ENCODERS = {
    'libx264': ('-preset', 'veryfast', '-crf', '20'),
    'libopenh264': ('-b:v', '6M'),
}
_CV_NAMES = {'avc1': 'H.264', 'mp4v': 'MPEG-4 Part 2'}


class EncoderError(RuntimeError):
    """A video cannot be encoded."""


class FrameEncoder(ABC):
    """Encodes the frames of one file.

    Attributes:
        codec (str): Four-character code of the format, `avc1` (H.264) or `mp4v`.
        description (str): Format and encoder, for people.
    """

    codec: str
    description: str

    @abstractmethod
    def write(self, frame: np.ndarray) -> None:
        """Adds a frame, uint8 (H, W, 3) BGR with even H and W."""

    @abstractmethod
    def close(self) -> None:
        """Completes the file.

        Raises:
            EncoderError: The encoder failed.
        """

    @abstractmethod
    def abort(self) -> None:
        """Ends at once; the file is of no use. Nothing happens after `close`."""


class FFmpegEncoder(FrameEncoder):
    """H.264 through the program `ffmpeg`.

    Args:
        path: File to write.
        fps: Frames per second.
        size: (width, height), both even.
        program: The program.
        encoder: Its encoder, such as `libx264`.
    """

    codec = 'avc1'

    def __init__(
        self, path: str | PathLike, fps: float, size: tuple[int, int], program: str, encoder: str
    ) -> None:
        self.description = f'H.264 (ffmpeg, {encoder})'
        # A pipe that nobody reads would stop ffmpeg when it has many complaints.
        self._messages = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [
                *(program, '-hide_banner', '-loglevel', 'error', '-nostdin', '-y'),
                *('-f', 'rawvideo', '-pix_fmt', 'bgr24', '-s', f'{size[0]}x{size[1]}'),
                *('-r', f'{fps:.6f}', '-i', 'pipe:0', '-an'),
                *('-c:v', encoder, *_FFMPEG_ENCODERS[encoder], '-pix_fmt', 'yuv420p'),
                # The index at the front lets browsers start before they have the whole file.
                *('-movflags', '+faststart'),
                # Or a name like `a:b.mp4` would mean a protocol.
                f'file:{path}',
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._messages,
            # Ctrl-C in a terminal goes to the whole group; the file must still be completed.
            start_new_session=True,
        )

    def write(self, frame: np.ndarray) -> None:
        """Adds a frame, uint8 (H, W, 3) BGR with even H and W."""
        try:
            self._process.stdin.write(np.ascontiguousarray(frame).data)
        except OSError as error:  # it ended, and the pipe with it
            raise EncoderError(self._why()) from error

    def close(self) -> None:
        """Completes the file."""
        try:
            self._process.stdin.close()
        except OSError as error:
            raise EncoderError(self._why()) from error
        if self._process.wait() != 0:
            raise EncoderError(self._why())
        self._messages.close()

    def abort(self) -> None:
        """Ends the program."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        try:
            self._process.stdin.close()
        except OSError:  # what was buffered had nowhere to go
            pass
        self._messages.close()

    def _why(self) -> str:
        self._process.wait()
        self._messages.seek(0)
        message = self._messages.read().decode(errors='replace').strip()
        return f'ffmpeg ended with status {self._process.returncode}: {message or "no message"}'


class CVEncoder(FrameEncoder):
    """What OpenCV's build can encode.

    Args:
        path: File to write.
        fps: Frames per second.
        size: (width, height), both even.
        codec: `avc1` or `mp4v`.

    Raises:
        EncoderError: OpenCV's build lacks the codec, or the file cannot be opened.
    """

    def __init__(self, path: str | PathLike, fps: float, size: tuple[int, int], codec: str) -> None:
        self.codec = codec
        self._path = str(path)
        self._num_frames = 0
        self.description = f'{_CV_NAMES.get(codec, codec)} (OpenCV)'
        # OpenCV complains loudly about a codec that its build lacks, which is no fault here.
        # Its functions moved with OpenCV 4.14.
        log = cv2 if hasattr(cv2, 'getLogLevel') else cv2.utils.logging
        level = log.getLogLevel()
        log.setLogLevel(0)
        try:
            fourcc = cv2.VideoWriter_fourcc(*codec)
            self._writer = cv2.VideoWriter(str(path), fourcc, fps, size)
        finally:
            log.setLogLevel(level)
        if not self._writer.isOpened():
            self._writer.release()
            raise EncoderError(f'OpenCV {cv2.__version__} cannot write {codec}')

    def write(self, frame: np.ndarray) -> None:
        """Adds a frame, uint8 (H, W, 3) BGR with even H and W."""
        self._writer.write(frame)
        self._num_frames += 1

    def close(self) -> None:
        """Completes the file."""
        self._writer.release()
        # OpenCV does not tell when it could not write.
        capture = cv2.VideoCapture(self._path)
        arrived = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        capture.release()
        if arrived != self._num_frames:
            raise EncoderError(
                f'{arrived} of {self._num_frames} frames arrived on the disk; is it full?'
            )

    def abort(self) -> None:
        """Ends."""
        self._writer.release()


@lru_cache(maxsize=1)
def find_ffmpeg() -> tuple[str, str] | None:
    """Looks for a program `ffmpeg` that can write H.264.

    Returns:
        Its path and the name of its encoder; None where there is none. `ffmpeg` on the path is
        asked first, then the one in the package imageio-ffmpeg.
    """
    candidates = [shutil.which('ffmpeg')]
    try:
        candidates.append(importlib.import_module('imageio_ffmpeg').get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # not installed; installed without its program
        pass
    for program in filter(None, candidates):
        try:
            listing = subprocess.run(
                [program, '-hide_banner', '-encoders'],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=30,
            ).stdout
        except (OSError, subprocess.TimeoutExpired):
            continue
        present = {words[1] for line in listing.splitlines() if len(words := line.split()) > 1}
        for encoder in _FFMPEG_ENCODERS:
            if encoder in present:
                return program, encoder
    return None


def open_encoder(
    path: str | PathLike, fps: float, size: tuple[int, int], codecs: tuple[str, ...]
) -> FrameEncoder:
    """Opens the first encoder that works: ffmpeg for `avc1`, else OpenCV.

    Args:
        path: File to write.
        fps: Frames per second.
        size: (width, height), both even.
        codecs: Which formats, the preferred one first.

    Returns:
        The encoder.

    Raises:
        EncoderError: There is none.
    """
    for codec in codecs:
        if codec == 'avc1' and (found := find_ffmpeg()) is not None:
            return FFmpegEncoder(path, fps, size, *found)
        try:
            return CVEncoder(path, fps, size, codec)
        except EncoderError:
            continue
    raise EncoderError(
        f'OpenCV {cv2.__version__} can write neither of {", ".join(codecs)} at '
        f'{size[0]}x{size[1]}; is the folder writable, and was OpenCV built with FFmpeg? '
        'An `ffmpeg` on the path would do as well'
    )
