"""Tracks that left the memory and may be recognised when they come back."""

from __future__ import annotations

import torch
from torch import Tensor

from .clip_costs import ClipCost, assign, same_class
from .clip_merging import MergedWindow
from .motion import MaskGeometry, MotionMemory
from .observations import Observations


class LostTracks:
    """Last sight of tracks that no longer overlap with new clips.

    Args:
        window (int): Frames for which a lost track can be recognised; 0 turns this off, and
            nothing is stored.
        threshold (float): Highest cost at which a lost track is recognised. Pairs cost about
            ``- mask_weight * IoU - class_weight`` when class and score agree, so that -1 with the
            usual weights demands the class and some overlap with the last mask.
    """

    def __init__(self, window: int, threshold: float) -> None:
        self.window = window
        self.threshold = threshold
        self.track_ids: list[int] = []
        self.last_seen: list[int] = []
        self.sights: Observations | None = None  # one column: the last frame of each track

    def match(self, instances: Observations, cost: ClipCost) -> tuple[Tensor, Tensor]:
        """Compare the first frame of new instances with the last sight of lost tracks.

        Args:
            instances (Observations): K instances, at least one frame.
            cost (ClipCost): The cost of the clip matching.

        Returns:
            tuple[Tensor, Tensor]: (M,) long positions of lost tracks and (M,) long instances.
        """
        if not self.track_ids or not len(instances):
            return torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
        costs, shared = cost(self.sights, instances.select_frames([0]))
        return assign(costs, shared & (costs <= self.threshold))

    def motion_cost(
        self,
        instances: Observations,
        cost: ClipCost,
        motion: MotionMemory,
        weight: float,
        geometry: MaskGeometry,
    ) -> tuple[Tensor, Tensor]:
        """Cost of every lost track and instance when it is known where the track should be.

        Compared with the cost of the clip matching, ``1 - distance`` takes the place of the mask
        IoU, and scores do not count: they say nothing about an object that was hidden.

        Args:
            instances (Observations): K instances, at least one frame.
            cost (ClipCost): The cost of the clip matching.
            motion (MotionMemory): Knows the lost tracks.
            weight (float): Weight of the distance.
            geometry (MaskGeometry): Of the instances' clip.

        Returns:
            tuple[Tensor, Tensor]: (M, K) float, and (M, K) bool, whether the pair costs at most the
            threshold.
        """
        if not self.track_ids:
            return torch.zeros(0, len(instances)), torch.zeros(0, len(instances), dtype=torch.bool)
        distance = motion.distance(self.track_ids, instances, geometry)
        agree = same_class(self.sights, instances.select_frames([0])).any(-1)
        costs = weight * distance - cost.mask_weight * (1 - distance).clamp(min=0)
        costs -= cost.class_weight * agree
        return costs, costs <= self.threshold

    def updated(
        self, merged: MergedWindow, left: Tensor, track_ids: list[int], returned: set[int], now: int
    ) -> LostTracks:
        """The lost tracks after a clip; this object stays as it is.

        Args:
            merged (MergedWindow): Memory and clip joined.
            left (Tensor): (M,) long, rows of ``merged`` that leave the memory.
            track_ids (list[int]): M numbers of these tracks.
            returned (set[int]): Numbers of lost tracks that were recognised.
            now (int): First frame that later clips compare; tracks last seen more than ``window``
                frames before it are forgotten.
        """
        if not self.window:
            return self
        result = LostTracks(self.window, self.threshold)
        kept = [
            position
            for position, (track_id, seen) in enumerate(zip(self.track_ids, self.last_seen))
            if track_id not in returned and now - seen <= self.window
        ]
        parts = []
        if kept:
            parts.append(self.sights.select_instances(torch.tensor(kept)))
        # Position of the last frame in which a track was predicted.
        last = (merged.valid[left] * torch.arange(1, len(merged.frames) + 1)).argmax(1)
        seen = [merged.frames[column] for column in last.tolist()]
        fresh = torch.tensor([now - frame <= self.window for frame in seen], dtype=torch.bool)
        left, last = left[fresh], last[fresh]
        result.track_ids = [self.track_ids[position] for position in kept]
        result.last_seen = [self.last_seen[position] for position in kept]
        for track_id, frame, is_fresh in zip(track_ids, seen, fresh.tolist()):
            if is_fresh:
                result.track_ids.append(track_id)
                result.last_seen.append(frame)
        if len(left):
            at = (left, last)
            codes = merged.codes[at].tolist()
            masks = [merged.mask(column, code) for column, code in zip(last.tolist(), codes)]
            parts.append(
                Observations(
                    frames=[-1],
                    valid=merged.valid[at][:, None],
                    scores=merged.scores[at][:, None],
                    labels=merged.labels[at][:, None],
                    centers=merged.centers[at][:, None],
                    rows=torch.arange(len(left))[:, None],
                    masks=torch.stack(masks)[None],
                )
            )
        result.sights = _stack(parts) if parts else None
        return result


def _stack(parts: list[Observations]) -> Observations:
    """Join one-column observations, with one mask row each."""
    masks = [part.masks[0, part.rows[:, 0].to(part.masks.device)] for part in parts]
    return Observations(
        frames=[-1],
        valid=torch.cat([part.valid for part in parts]),
        scores=torch.cat([part.scores for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
        centers=torch.cat([part.centers for part in parts]),
        rows=torch.arange(sum(map(len, parts)))[:, None],
        masks=torch.cat(masks)[None],
    )
