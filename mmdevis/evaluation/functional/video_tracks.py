"""Predicted and true tracks of one video and which of them belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from pycocotools import mask as mask_utils

from .ytvis_eval import frame_overlaps

FOUND_IOU = 0.5
"""From this overlap on a track stands for an object (TIDE's foreground threshold)."""
RELATED_IOU = 0.1
"""Below this overlap a track has to do with no object (TIDE's background threshold)."""


def _ratio(shared: np.ndarray, union: np.ndarray) -> np.ndarray:
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)


class VideoTracks:
    """Overlaps between the D predicted and G true tracks of a video of F frames.

    Args:
        gts: True tracks as `check_ground_truth` returns them, crowds left out.
        dts: Predicted tracks as `check_results` returns them.
    """

    def __init__(self, gts: Sequence[dict], dts: Sequence[dict]) -> None:
        self.gts = list(gts)
        self.dts = list(dts)
        masks = [[t['segmentations'] for t in tracks] for tracks in (self.dts, self.gts)]
        frames = list(frame_overlaps(*masks))
        self.num_frames = len(frames)
        shape = (len(self.dts), len(self.gts))
        dt_area = np.array([f[0] for f in frames]).reshape(self.num_frames, shape[0])
        gt_area = np.array([f[1] for f in frames]).reshape(self.num_frames, shape[1])
        shared = np.array([f[2] for f in frames]).reshape(self.num_frames, *shape)
        union = dt_area[:, :, None] + gt_area[:, None] - shared
        self.dt_visible = dt_area > 0
        """Bool array (F, D)."""
        self.gt_visible = gt_area > 0
        """Bool array (F, G)."""
        self.frame_ious = _ratio(shared, union)
        """Mask IoU in each frame, (F, D, G)."""
        self.ious = _ratio(shared.sum(0), union.sum(0))
        """Spatio-temporal IoU (D, G)."""

    @cached_property
    def box_ious(self) -> np.ndarray:
        """IoU of the boxes around the masks in each frame, (F, D, G)."""
        ious = np.zeros_like(self.frame_ious)
        for frame in range(self.num_frames):
            rows = np.flatnonzero(self.dt_visible[frame])
            cols = np.flatnonzero(self.gt_visible[frame])
            if rows.size and cols.size:
                dt, gt = (
                    mask_utils.toBbox([tracks[i]['segmentations'][frame] for i in numbers])
                    for tracks, numbers in ((self.dts, rows), (self.gts, cols))
                )
                ious[frame][np.ix_(rows, cols)] = mask_utils.iou(dt, gt, [0] * len(cols))
        return ious

    @cached_property
    def same_class(self) -> np.ndarray:
        """Bool array (D, G)."""
        dt = np.array([t['category_id'] for t in self.dts])
        gt = np.array([t['category_id'] for t in self.gts])
        return (dt[:, None] == gt[None]).reshape(len(dt), len(gt))

    @cached_property
    def owner(self) -> np.ndarray:
        """Number of the object that each prediction is about, (D,), or -1 for none.

        It is the object of largest overlap, or one of its own class that it finds.
        """
        if not self.ious.size:
            return np.full(len(self.dts), -1)
        # Overlaps are at most 1, so an object of the own class that was found comes first.
        preferred = self.ious + 2.0 * (self.same_class & (self.ious >= FOUND_IOU))
        owner = preferred.argmax(1)
        owner[self.ious.max(1) < RELATED_IOU] = -1
        return owner

    def right_class(self, d: int) -> bool:
        """Whether prediction `d` has the class of the object that it is about."""
        return self.owner[d] >= 0 and bool(self.same_class[d, self.owner[d]])

    @cached_property
    def best(self) -> dict[int, int]:
        """Of each object that has one, the best prediction of its class.

        One that finds the object comes before one that does not, then the higher score counts,
        then the order of the predictions.
        """
        best: dict[int, int] = {}
        for d in self.ranked(range(len(self.dts))):
            if self.right_class(d):
                best.setdefault(int(self.owner[d]), d)
        return best

    def ranked(self, numbers: Sequence[int]) -> list[int]:
        """Predictions that find their object first, then by score, best first."""

        def rank(d: int) -> tuple[bool, float]:
            found = self.owner[d] >= 0 and self.ious[d, self.owner[d]] >= FOUND_IOU
            return not found, -self.dts[d]['score']

        return sorted(numbers, key=rank)

    def found_by_better(self, d: int) -> bool:
        """Whether another prediction already stands for the object of prediction `d`."""
        best = self.best.get(int(self.owner[d]), d)
        return best != d and self.ious[best, self.owner[d]] >= FOUND_IOU

    @cached_property
    def claims(self) -> np.ndarray:
        """Object whose mask each prediction shows in each frame, (F, D), or -1.

        Frame by frame and within a class, the prediction of the highest score takes the object that
        it overlaps most among those still free, if by at least `FOUND_IOU`: what the evaluator does
        with single pictures.
        """
        claims = np.full((self.num_frames, len(self.dts)), -1)
        order = sorted(range(len(self.dts)), key=lambda d: -self.dts[d]['score'])
        for frame in range(self.num_frames if self.ious.size else 0):
            free = self.gt_visible[frame].copy()
            for d in order:
                ious = np.where(free & self.same_class[d], self.frame_ious[frame, d], 0.0)
                g = int(ious.argmax())
                if ious[g] >= FOUND_IOU:
                    claims[frame, d] = g
                    free[g] = False
        return claims

    def switches(self) -> int:
        """How often the prediction that shows an object changes, between frames that show it."""
        count = 0
        for g in range(len(self.gts)):
            shown = [np.flatnonzero(row == g) for row in self.claims]
            shown = [int(d[0]) for d in shown if d.size]
            count += sum(a != b for a, b in zip(shown, shown[1:]))
        return count


def split_by_video(gt: dict, results: Sequence[dict]) -> dict[int, VideoTracks]:
    """Sorts checked ground truth and results by video.

    Args:
        gt: What `check_ground_truth` returned; crowds are left out.
        results: What `check_results` returned.

    Returns:
        Id to tracks of every video of `gt`.
    """
    truth, predicted = defaultdict(list), defaultdict(list)
    for annotation in gt['annotations']:
        if not annotation['iscrowd']:
            truth[annotation['video_id']].append(annotation)
    for result in results:
        predicted[result['video_id']].append(result)
    ids = [video['id'] for video in gt['videos']]
    return {i: VideoTracks(truth[i], predicted[i]) for i in ids}
