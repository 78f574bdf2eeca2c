"""Clip predictions on disk: the model runs once, the tracker as often as wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmdevis.apis.streaming import ClipScheduler
from mmdevis.datasets.lazy_video import LazyVideo
from mmdevis.models.dense_heads.deformable_mask_detr_head import Trajectories
from mmdevis.models.dense_heads.devis_head import to_clip_prediction
from mmdevis.models.vis import DeVIS
from mmdevis.structures import ClipPrediction
from mmdevis.utils.files import write_text
from mmdevis.utils.pending_file import whole_file

_FIELDS = tuple(field.name for field in fields(Trajectories))
_SHAPES = ('input_shape', 'img_shape', 'out_shape')


class ClipStoreError(ValueError):
    """Recorded predictions do not fit what is asked of them."""


@dataclass
class RecordedVideo:
    """What the model says about the clips of one video.

    Masks are kept as the mask head gives them, at a quarter of the input's side and once for each
    trajectory, so that thresholds, soft overlaps and the final size come out as without a record.

    Args:
        length: Frames of the video.
        input_shape: (H, W) of the padded input.
        img_shape: (H, W) of the frames within it.
        out_shape: (H, W) of the final masks.
        clips: Best trajectories of each clip, by its first frame.
    """

    length: int
    input_shape: tuple[int, int]
    img_shape: tuple[int, int]
    out_shape: tuple[int, int]
    clips: dict[int, Trajectories]

    def prediction(
        self,
        frame_indices: Sequence[int],
        max_instances: int,
        device: torch.device | str = 'cpu',
    ) -> ClipPrediction:
        """What the model would say about one clip, see :meth:`DeVIS.predict_clip`.

        Args:
            frame_indices: T frame numbers in the video.
            max_instances: The best of the recorded (trajectory, class) pairs to take.
            device: Where the masks are brought to their final size.

        Raises:
            ClipStoreError: If the clip was not recorded.
        """
        if frame_indices[0] not in self.clips:
            raise ClipStoreError(
                f'no clip was recorded that starts at frame {frame_indices[0]}, only at '
                f'{sorted(self.clips)}; record with a stride that divides the one asked for'
            )
        found = self.clips[frame_indices[0]]
        # Pairs are sorted by score: the first ones are what a smaller top-k would have given.
        rows, mask_index = found.mask_index[:max_instances].unique(return_inverse=True)
        kept = Trajectories(
            queries=found.queries[:max_instances],
            labels=found.labels[:max_instances],
            scores=found.scores[:max_instances],
            boxes=found.boxes[:max_instances],
            masks=found.masks[rows].to(device).float(),
            mask_index=mask_index.to(device),
        )
        shapes = self.input_shape, self.img_shape, self.out_shape
        return to_clip_prediction(kept, torch.as_tensor(frame_indices), *shapes)


@torch.no_grad()
def record_video(model: DeVIS, video: LazyVideo, stride: int, max_instances: int) -> RecordedVideo:
    """Run the model on all clips of a video.

    Args:
        model: In evaluation mode.
        video: Its frames are decoded one by one.
        stride: Frames between clips. Trackers can later run with every multiple of it.
        max_instances: (trajectory, class) pairs to keep of each clip.

    Returns:
        The trajectories, on the CPU.
    """
    meta = video.metainfo(0)
    img_shape, out_shape = (tuple(meta[key][:2]) for key in ('img_shape', 'ori_shape'))
    frame = lru_cache(maxsize=model.num_frames)(video.__getitem__)
    clips = {}
    for plan in ClipScheduler(model.num_frames, stride).clips(len(video)):
        clip = model.data_preprocessor.clip([frame(index) for index in plan.frame_indices])
        found = model.select_clip(clip, img_shape, max_instances)
        clips[plan.frame_indices[0]] = Trajectories(
            **{name: getattr(found, name).cpu() for name in _FIELDS}
        )
    return RecordedVideo(len(video), tuple(clip.shape[-2:]), img_shape, out_shape, clips)


class ClipStore:
    """A folder of recorded videos, one file each, complete or not there.

    Args:
        folder: Made if it does not exist.
        about: What the predictions depend on (checkpoint, model, data), as plain json values. A
            folder that says something else about itself is refused.
        stride: Least common stride of the trackers that will run; kept in the folder.
        max_instances: Most (trajectory, class) pairs of a clip; kept in the folder.
        half: Keep masks as float16: half the size, and scores of tracks that differ in the fourth
            digit.

    Attributes:
        stride, max_instances: What is (or will be) recorded: those of the folder, if it has some.

    Raises:
        ClipStoreError: If the folder holds predictions of something else, or too few for the
            trackers.
    """

    MANIFEST = 'clips.json'

    def __init__(
        self,
        folder: str | Path,
        about: Mapping[str, Any],
        stride: int,
        max_instances: int,
        half: bool = False,
    ) -> None:
        self.folder = Path(folder)
        manifest = self.folder / self.MANIFEST
        wanted = dict(about, half=half)
        self.stride, self.max_instances, self.half = stride, max_instances, half
        if manifest.is_file():
            found = json.loads(manifest.read_text())
            self.stride, self.max_instances = found.pop('stride'), found.pop('max_instances')
            different = [key for key in {*found, *wanted} if found.get(key) != wanted.get(key)]
            if different:
                lines = [
                    f'  {key}: recorded {found.get(key)!r}, now {wanted.get(key)!r}'
                    for key in sorted(different)
                ]
                raise ClipStoreError(
                    f'{self.folder} holds clip predictions of something else; name another folder '
                    'or remove it:\n' + '\n'.join(lines)
                )
            if stride % self.stride or max_instances > self.max_instances:
                raise ClipStoreError(
                    f'{self.folder} was recorded with stride {self.stride} and '
                    f'{self.max_instances} instances per clip, which does not serve stride '
                    f'{stride} and {max_instances} instances; name another folder or remove it'
                )
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        wanted.update(stride=stride, max_instances=max_instances)
        text = json.dumps(wanted, indent=2) + '\n'
        write_text(manifest, text)

    def __contains__(self, video_id: int) -> bool:
        return self._path(video_id).is_file()

    def write(self, video_id: int, video: RecordedVideo) -> None:
        """Keep a video.

        Args:
            video_id: Its id in the data set.
            video: Its predictions.
        """
        arrays = {'length': np.array(video.length), 'starts': np.array(sorted(video.clips))}
        arrays.update({name: np.array(getattr(video, name)) for name in _SHAPES})
        for start, found in video.clips.items():
            arrays.update({f'{name}.{start}': getattr(found, name).numpy() for name in _FIELDS})
            if self.half:
                arrays[f'masks.{start}'] = arrays[f'masks.{start}'].astype(np.float16)
        with whole_file(self._path(video_id)) as temporary:
            np.savez(temporary, **arrays)

    def read(self, video_id: int) -> RecordedVideo:
        """Give a video back.

        Args:
            video_id: Its id in the data set.

        Raises:
            ClipStoreError: If its file is damaged.
        """
        path = self._path(video_id)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                clips = {
                    start: Trajectories(
                        **{name: torch.from_numpy(arrays[f'{name}.{start}']) for name in _FIELDS}
                    )
                    for start in arrays['starts'].tolist()
                }
                shapes = {name: tuple(arrays[name].tolist()) for name in _SHAPES}
                return RecordedVideo(length=int(arrays['length']), clips=clips, **shapes)
        except Exception as error:  # a damaged archive can raise anything
            raise ClipStoreError(
                f'{path} cannot be read ({error}); remove it, it is then recorded again'
            ) from error

    def _path(self, video_id: int) -> Path:
        return self.folder / f'{video_id}.npz'
