"""Errors of data sets, written for the person who has to repair the data."""

from collections.abc import Mapping
from typing import Any


class AnnotationError(ValueError):
    """An annotation file that cannot be used; the message names file, video and key."""


class MissingAnnotationsError(AnnotationError, FileNotFoundError):
    """There is no annotation file of this name."""


class FrameError(OSError):
    """A frame that cannot be used; the message names video, frame and file."""


class FrameSizeError(FrameError, ValueError):
    """A frame of another size than its video."""


def describe_frame(results: Mapping[str, Any]) -> str:
    """Name a frame for a message, from `video_id`, `frame_id` and `img_path` where given.

    Args:
        results (Mapping): Record of the frame; must have `img_path`.

    Returns:
        str: For example `video 3, frame 7, file data/train/dog/00007.jpg`.
    """
    names = [
        f'{name} {results[key]}'
        for name, key in (('video', 'video_id'), ('frame', 'frame_id'))
        if results.get(key) is not None
    ]
    return ', '.join([*names, f'file {results["img_path"]}'])
