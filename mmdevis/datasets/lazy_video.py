"""A video whose frames are decoded one at a time, when they are needed."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from .errors import FrameSizeError, describe_frame


class LazyVideo:
    """Frames of a video as tensors, decoded on demand.

    Only names and sizes are kept, so it is cheap to send between processes. On purpose not a
    `collections.abc.Sequence`: MMEngine's collation and data preprocessor would iterate over it,
    and so decode the whole video.

    Args:
        frames (Sequence[dict]): Per frame what `pipeline` needs: `img_path`, `frame_id`,
            `video_id`, `height`, `width`, ...
        pipeline (Callable): Transforms one frame's dict (copied before); must add `img` (h, w, 3)
            and `ori_shape`.
        meta_keys (Sequence[str]): What `metainfo` returns, as far as a frame has it.

    Raises:
        FrameSizeError: On access to a frame of another size than the frames before.
    """

    def __init__(
        self,
        frames: Sequence[dict],
        pipeline: Callable[[dict], dict],
        meta_keys: Sequence[str] = (
            'video_id',
            'frame_id',
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
        ),
    ) -> None:
        self._frames = list(frames)
        self._pipeline = pipeline
        self._meta_keys = tuple(meta_keys)
        self._metainfo: dict[int, dict] = {}
        self._ori_shape: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Tensor:
        """Decode frame `index`; returns (3, h, w), uint8 unless the pipeline changes that."""
        if not -len(self) <= index < len(self):
            raise IndexError(f'frame {index} of a video of {len(self)} frames')
        index %= len(self)
        results = self._pipeline(dict(self._frames[index]))
        self._check_size(results)
        self._metainfo[index] = {key: results[key] for key in self._meta_keys if key in results}
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        return torch.from_numpy(image)

    def __iter__(self) -> Iterator[Tensor]:
        for index in range(len(self)):
            yield self[index]

    def metainfo(self, index: int) -> dict:
        """What is known about a frame after the pipeline: `ori_shape`, `img_shape`, `img_path`, ...

        Decodes the frame if that has not happened before.
        """
        index = index + len(self) if index < 0 else index
        if index not in self._metainfo:
            self[index]
        return dict(self._metainfo[index])

    def _check_size(self, results: dict) -> None:
        shape = tuple(results['ori_shape'])
        if self._ori_shape is None:
            self._ori_shape = shape
        elif shape != self._ori_shape:
            raise FrameSizeError(
                f'{describe_frame(results)} is {shape[0]} x {shape[1]} (height x width), but '
                f'earlier frames are {self._ori_shape[0]} x {self._ori_shape[1]}. All frames of a '
                'video must be of one size.'
            )

    def __repr__(self) -> str:
        return f'{type(self).__name__}({len(self)} frames)'
