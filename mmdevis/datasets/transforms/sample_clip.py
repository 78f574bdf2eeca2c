"""Choosing the frames of a clip."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS

from ..frame_records import collate_frames


def back_and_forth(index: int, length: int) -> int:
    """Frame shown at `index` when a video is played back and forth: 0 1 2 3 2 1 0 1 ...

    Args:
        index (int): Position >= 0.
        length (int): Number of frames of the video, >= 1.

    Returns:
        int: Frame index in 0 .. length - 1.
    """
    if length == 1:
        return 0
    index %= 2 * (length - 1)
    return min(index, 2 * (length - 1) - index)


@TRANSFORMS.register_module()
class SampleClip(BaseTransform):
    """Choose the T frames of a clip, starting at `clip_start`.

    Contiguous by default. A video that is shorter than the clip is extended back and forth. With
    gaps, a clip that would run over the end of a long enough video starts earlier instead.

    Required keys: `images`, `video_length`, `clip_start`, and `num_frames` if not given here.
    Result: the frame records as a dict of lists of length T, with `video_length` (T) and
    `ori_video_length`.

    Args:
        num_frames (int, optional): T. Default: what the data set says.
        stride (int): Distance between frames; with `max_gap`, the smallest distance.
        max_gap (int, optional): Draw each distance uniformly from `stride` .. `max_gap`.

    Raises:
        ValueError: If `stride` < 1 or `max_gap` < `stride`.
    """

    def __init__(
        self, num_frames: int | None = None, stride: int = 1, max_gap: int | None = None
    ) -> None:
        if stride < 1 or (max_gap is not None and max_gap < stride):
            raise ValueError(f'need 1 <= stride <= max_gap, but got {stride} and {max_gap}')
        self.num_frames = num_frames
        self.stride = stride
        self.max_gap = max_gap

    def frame_indices(self, start: int, num_frames: int, length: int) -> list[int]:
        """Indices of the frames of a clip.

        Args:
            start (int): Wanted first frame.
            num_frames (int): Frames of the clip, T.
            length (int): Frames of the video.

        Returns:
            list[int]: T indices in 0 .. length - 1.
        """
        gaps = np.full(num_frames - 1, self.stride)
        if self.max_gap is not None:
            gaps = np.random.randint(self.stride, self.max_gap + 1, num_frames - 1)
        offsets = np.concatenate([[0], np.cumsum(gaps)]).tolist()
        start = max(0, min(start, length - 1 - offsets[-1]))
        return [back_and_forth(start + offset, length) for offset in offsets]

    def transform(self, results: dict) -> dict:
        """Return the records of the chosen frames, as a dict of lists."""
        num_frames = self.num_frames or results['num_frames']
        frames = self.frame_indices(results['clip_start'], num_frames, results['video_length'])
        return collate_frames(results, frames)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(num_frames={self.num_frames}, stride={self.stride}, '
            f'max_gap={self.max_gap})'
        )
