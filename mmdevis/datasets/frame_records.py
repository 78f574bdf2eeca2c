"""Records of the frames of a video, as they reach the pipeline."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any


class FrameRecords(Sequence):
    """The frame records of one video, read from the data set one by one on access.

    Every access returns a fresh copy, so transforms may change it.

    Args:
        read (Callable[[int], dict]): Returns a fresh record, given the index of a frame among all
            frames of the data set.
        first (int): Index of the video's first frame among all frames of the data set.
        length (int): Number of frames of the video.
    """

    def __init__(self, read: Callable[[int], dict], first: int, length: int) -> None:
        self._read = read
        self._first = first
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        if not -self._length <= index < self._length:
            raise IndexError(f'frame {index} of a video of {self._length} frames')
        return self._read(self._first + index % self._length)


def collate_frames(info: dict, frames: Sequence[int]) -> dict[str, list]:
    """Turn chosen frames of a video into the dict of lists that per-frame transforms map over.

    Args:
        info (dict): `video_length` and `images` of one video, as of `VISClipDataset.get_data_info`.
        frames (Sequence[int]): Chosen frame indices; may repeat.

    Returns:
        dict[str, list]: Every key of the frame records, `video_length` (number of chosen frames)
        and `ori_video_length`, each a list of `len(frames)`.
    """
    collated = defaultdict(list)
    for index in frames:
        record = info['images'][index]
        record.update(video_length=len(frames), ori_video_length=info['video_length'])
        for key, value in record.items():
            collated[key].append(value)
    return dict(collated)
