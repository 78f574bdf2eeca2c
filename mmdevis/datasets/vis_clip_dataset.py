"""Data sets of videos whose training samples are clips."""

import copy
import os.path as osp
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmdet.datasets import BaseVideoDataset
from mmdet.registry import DATASETS

from .frame_records import FrameRecords, collate_frames
from .parsing import load_annotations, parse_videos, select_classes


@DATASETS.register_module()
class VISClipDataset(BaseVideoDataset):
    """Video instance segmentation data set of any YouTube-VIS-style or per-frame json.

    In training an index is a clip: every (video, start) with `start + num_frames <= length`, and
    one clip of each shorter video. With `test_mode=True` an index is a whole video. So samplers,
    `ConcatDataset` and `RepeatDataset` work as for images. The pipeline gets, in training, the
    video's frame records with `clip_start` and `num_frames` for the transform `SampleClip`, and
    `key_frame_id` (the same frame) for MMDetection's frame samplers: with `num_frames=1` and the
    default sampler its own video models train on this data set, too. In test mode it gets a dict of
    lists over all frames, as from MMDetection's data sets; an index (video, frame) gives one frame.

    Frames without objects stay. All records are pickled one frame at a time into one buffer, which
    workers share; a clip reads only its own frames.

    Args:
        ann_file (str): YouTube-VIS json or per-frame json, relative to `data_root`. The format is
            detected by content.
        num_frames (int): Frames of a clip, T. Only used in training.
        filter_empty_clips (bool): Leave out clips whose (contiguous) frames show no object.
        indices (int | Sequence[int], optional): Use only the first n videos (the last, if
            negative), or the given ones.
        **kwargs: Of `mmdet.datasets.BaseVideoDataset`: `metainfo` (its `classes` choose and order
            the labels by name; default: all categories of the file by ascending id), `data_root`,
            `data_prefix` (`img_path`), `pipeline`, `test_mode`, `serialize_data`, `lazy_init`,
            `max_refetch`, `backend_args`.

    Raises:
        AnnotationError: If the annotation file cannot be used; names file, video and key.
        ValueError: If `num_frames` < 1 or a `filter_cfg` is given.
    """

    def __init__(
        self,
        ann_file: str,
        num_frames: int = 1,
        filter_empty_clips: bool = False,
        indices: int | Sequence[int] | None = None,
        **kwargs,
    ) -> None:
        if num_frames < 1:
            raise ValueError(f'num_frames must be at least 1, but is {num_frames}.')
        if kwargs.pop('filter_cfg', None) is not None:
            raise ValueError(
                'filter_cfg would cut frames out of videos and so tear tracks apart. Remove it, or '
                'use filter_empty_clips=True to train only on clips with objects.'
            )
        self.num_frames = num_frames
        self.filter_empty_clips = filter_empty_clips
        super().__init__(ann_file=ann_file, indices=indices, **kwargs)

    @property
    def metainfo(self) -> dict:
        """`classes`, and in test mode `category_ids` (json id per label, for submissions)."""
        if 'classes' not in self._metainfo:
            self.full_init()
        return copy.deepcopy(self._metainfo)

    def load_data_list(self) -> list[dict]:
        """Read and check the annotation file.

        Returns:
            list[dict]: One entry per video, see `parsing.parse_videos`.
        """
        data = load_annotations(
            self.ann_file,
            require_annotations=not self.test_mode,
            backend_args=self.backend_args,
        )
        self.cat2label = select_classes(
            data['categories'], self._metainfo.get('classes'), self.ann_file
        )
        self.cat_ids = list(self.cat2label)
        # On the instance, never on the class: two versions of a data set can live in one process.
        names = {category['id']: category['name'] for category in data['categories']}
        self._metainfo['classes'] = tuple(names[cat_id] for cat_id in self.cat_ids)
        if self.test_mode:
            # Not in training: ConcatDataset compares metainfo, and ids differ between data sets.
            self._metainfo['category_ids'] = tuple(self.cat_ids)
        return parse_videos(data, self.cat2label)

    def full_init(self) -> None:
        """Load the annotations once, pack them frame by frame and list the clips."""
        if self._fully_initialized:
            return
        self.data_list = self.load_data_list()
        if self._indices is not None:
            self.data_list = self._get_unserialized_subset(self._indices)
        self._video_ids = [video['video_id'] for video in self.data_list]
        self._lengths = np.array([video['video_length'] for video in self.data_list], np.int64)
        self._first_frames = np.concatenate([[0], np.cumsum(self._lengths)])
        self.data_list = [frame for video in self.data_list for frame in video['images']]
        occupied = np.array([bool(frame['instances']) for frame in self.data_list], bool)
        self._clips = self._list_clips(occupied)
        if self.serialize_data:
            self.data_bytes, self.data_address = self._serialize_data()
        self._fully_initialized = True

    def _list_clips(self, occupied: np.ndarray) -> np.ndarray:
        """All clips as (video, start), shape (number of clips, 2), from `occupied` (frames,)."""
        clips = [
            (video, start)
            for video, length in enumerate(self._lengths)
            for start in range(max(length - self.num_frames + 1, 1))
        ]
        table = np.array(clips, np.int32).reshape(-1, 2)
        if self.filter_empty_clips:
            before = np.concatenate([[0], np.cumsum(occupied)])
            first = self._first_frames[table[:, 0]] + table[:, 1]
            last = np.minimum(first + self.num_frames, self._first_frames[table[:, 0] + 1])
            table = table[before[last] > before[first]]
        return table

    def __len__(self) -> int:
        """Number of clips in training, of videos in test mode."""
        self.full_init()
        return len(self._video_ids) if self.test_mode else len(self._clips)

    def get_frame(self, frame: int) -> dict:
        """A copy of one frame's record.

        Args:
            frame (int): Index over the frames of all videos.

        Returns:
            dict: See `parsing.parse_videos`; with `img_path` instead of `file_name`.
        """
        if self.serialize_data:
            start = 0 if frame == 0 else self.data_address[frame - 1]
            record = pickle.loads(memoryview(self.data_bytes[start : self.data_address[frame]]))
        else:
            record = copy.deepcopy(self.data_list[frame])
        prefix = self.data_prefix.get('img_path') or ''
        record['img_path'] = osp.join(prefix, record.pop('file_name'))
        return record

    def get_data_info(self, idx: int | tuple[int, int]) -> dict:
        """What the pipeline gets, except that test mode still collates it.

        Args:
            idx (int | tuple[int, int]): A clip (training) or a video (test mode), or (video,
                frame).

        Returns:
            dict: `video_id`, `video_length`, `sample_idx` (int), `images` (`FrameRecords`: the
            whole video, lazily), and in training `num_frames`, `clip_start` and `key_frame_id`.

        Raises:
            IndexError: If there is no such sample.
        """
        self.full_init()
        extra: dict[str, int] = {}
        if isinstance(idx, tuple):
            video, frame = map(int, idx)
            extra = {'key_frame_id': frame, 'clip_start': frame}
        else:
            if not -len(self) <= idx < len(self):
                raise IndexError(f'sample {idx} of a data set of {len(self)} ({self.ann_file})')
            idx = video = int(idx) % len(self)
            if not self.test_mode:
                video, start = map(int, self._clips[idx])
                extra = {'key_frame_id': start, 'clip_start': start}
        if not self.test_mode:
            extra['num_frames'] = self.num_frames
        length = int(self._lengths[video])
        return dict(
            video_id=self._video_ids[video],
            video_length=length,
            sample_idx=idx,
            images=FrameRecords(self.get_frame, int(self._first_frames[video]), length),
            **extra,
        )

    def prepare_data(self, idx: int | tuple[int, int]) -> Any:
        """Run the pipeline on a sample.

        Args:
            idx (int | tuple[int, int]): As of `get_data_info`.

        Returns:
            Any: What the pipeline returns.
        """
        info = self.get_data_info(idx)
        if not self.test_mode:
            return self.pipeline(info)
        frames = [info['key_frame_id']] if 'key_frame_id' in info else range(info['video_length'])
        return self.pipeline(collate_frames(info, frames))

    def get_cat_ids(self, index: int | tuple[int, int]) -> list[int]:
        """Labels of all objects of a clip (video in test mode; one frame for a tuple)."""
        info = self.get_data_info(index)
        if isinstance(index, tuple):
            frames = [index[1]]
        elif self.test_mode:
            frames = range(info['video_length'])
        else:
            stop = min(info['clip_start'] + self.num_frames, info['video_length'])
            frames = range(info['clip_start'], stop)
        return [
            instance['bbox_label'] for i in frames for instance in info['images'][i]['instances']
        ]

    def iter_videos(self) -> Iterator[dict]:
        """All videos with `video_id`, `video_length` and lazily read `images`."""
        self.full_init()
        for video, video_id in enumerate(self._video_ids):
            length = int(self._lengths[video])
            records = FrameRecords(self.get_frame, int(self._first_frames[video]), length)
            yield {'video_id': video_id, 'video_length': length, 'images': records}

    @property
    def num_all_imgs(self) -> int:
        """Number of frames of all videos."""
        self.full_init()
        return int(self._first_frames[-1])

    def get_len_per_video(self, idx: int) -> int:
        """Number of frames of a video.

        Args:
            idx (int): Position in the data set, not id.

        Returns:
            int: Its length.

        Raises:
            TypeError: In training. MMDetection's `TrackImgSampler` asks this of every index to list
                (video, frame) pairs, but here every index is a clip already.
        """
        if not self.test_mode:
            raise TypeError(
                'Every index of this data set is a clip already: use '
                "sampler=dict(type='DefaultSampler', shuffle=True) instead of TrackImgSampler."
            )
        self.full_init()
        return int(self._lengths[idx])

    def get_subset(self, indices: int | Sequence[int]) -> 'VISClipDataset':
        """Not supported: choose videos with the argument `indices` of the constructor."""
        raise NotImplementedError('Choose videos with the argument `indices` of the constructor.')

    get_subset_ = get_subset
