"""Where tracks should be next: a cue that the paper does not have, off unless configured."""

from __future__ import annotations

from dataclasses import replace

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .observations import Observations


class MaskGeometry:
    """Centroids and areas of a clip's masks, measured once for all that ask.

    Args:
        instances (Observations): The clip. Selections of its frames and instances can be asked for.
    """

    def __init__(self, instances: Observations) -> None:
        self.image_size = tuple(instances.masks.shape[-2:])
        self._numbers = {}  # frame -> (R, 3) area, x and y of each mask, on the CPU
        for frame, masks in zip(instances.frames, instances.masks):
            binary = (masks > 0.5).float()  # one frame at a time: (R, H, W) is large enough
            over_x, over_y = binary.sum(1), binary.sum(2)
            area = over_x.sum(-1)
            x, y = (
                (line * (torch.arange(line.shape[-1], device=line.device) + 0.5)).sum(-1)
                / area.clamp(min=1)
                for line in (over_x, over_y)
            )
            self._numbers[frame] = torch.stack([area, x, y], dim=-1).cpu()

    def of(self, instances: Observations) -> tuple[Tensor, Tensor, Tensor]:
        """Geometry of some of the instances, in some of the frames.

        Args:
            instances (Observations): K instances in F frames, selected from the clip.

        Returns:
            tuple[Tensor, Tensor, Tensor]: (K, F) scores, 0 where there is no mask; (K, F, 2)
            centroids x, y in pixels; (K, F) areas in pixels. On the CPU.
        """
        if not instances.frames:
            nothing = torch.zeros(len(instances), 0)
            return nothing, nothing[..., None].expand(-1, -1, 2), nothing
        numbers = torch.stack([self._numbers[frame] for frame in instances.frames])  # (F, R, 3)
        area, x, y = numbers[torch.arange(len(numbers)), instances.rows].unbind(-1)  # (K, F)
        seen = instances.valid & (area > 0)
        return instances.scores * seen, torch.stack([x, y], dim=-1), area * seen


class MotionMemory:
    """Recent positions of tracks, and how far an instance is from where they lead.

    A track's position is a straight line in time, fitted to its last mask centroids by least
    squares with the scores as weights: sights of little score, such as those of a hidden object,
    count little. Objects that left the image are expected at its border, where they come back.

    Args:
        history (int): Sights that the line is fitted to, at least 2.
    """

    def __init__(self, history: int) -> None:
        self.history = history
        self._sights: dict[int, Tensor] = {}  # track number -> (S, 4): frame, score, x, y

    def distance(
        self, track_ids: list[int], instances: Observations, geometry: MaskGeometry
    ) -> Tensor:
        """Distance of instances from the predicted positions of tracks.

        Args:
            track_ids (list[int]): N numbers; tracks that were never seen are at no distance.
            instances (Observations): K instances in F frames.
            geometry (MaskGeometry): Of their clip.

        Returns:
            Tensor: (N, K) float, mean over the frames, weighted by the instance's scores, in units
            of the instance's size (root of its largest area). 0 for instances without a mask.
        """
        weights, positions, areas = geometry.of(instances)
        expected = self._predict(track_ids, instances.frames, geometry.image_size)  # (N, F, 2)
        distance = (expected[:, None] - positions[None]).norm(dim=-1)  # (N, K, F)
        size = areas.amax(1).clamp(min=1).sqrt()
        mean = (distance * weights).sum(-1) / weights.sum(-1).clamp(min=1e-6)
        known = torch.tensor([track_id in self._sights for track_id in track_ids], dtype=torch.bool)
        return (mean / size).masked_fill(~known[:, None], 0)

    def confidence(self, track_ids: list[int]) -> Tensor:
        """How well tracks are established.

        Args:
            track_ids (list[int]): N numbers.

        Returns:
            Tensor: (N,) float in 0..1, sum of the scores of a track's remembered sights divided by
            the number of sights that are remembered at most; 0 for tracks that were never seen.
        """
        seen = [self._sights.get(track_id) for track_id in track_ids]
        total = [0.0 if sights is None else float(sights[:, 1].sum()) for sights in seen]
        return torch.tensor(total) / self.history

    def untangled(
        self,
        instances: Observations,
        track_ids: list[int],
        margin: float,
        geometry: MaskGeometry,
    ) -> Observations:
        """Exchange what instances of one class say in single frames, where motion says so.

        When two look-alikes cross, a clip often continues the mask of each as the other one's, as
        if they had bounced off each other.

        Args:
            instances (Observations): K instances.
            track_ids (list[int]): Numbers of the K tracks that they continue; instances of unknown
                tracks stay as they are.
            margin (float): Every prediction that is exchanged must be nearer to where its new track
                should be than the one it replaces, on average by this many object sizes.
            geometry (MaskGeometry): Of their clip.

        Returns:
            Observations: The instances, with predictions exchanged within frames.
        """
        known = torch.tensor([track_id in self._sights for track_id in track_ids], dtype=torch.bool)
        weights, positions, areas = geometry.of(instances)
        expected = self._predict(track_ids, instances.frames, geometry.image_size)  # (K, F, 2)
        size = areas.amax(1).clamp(min=1).sqrt()
        source = torch.arange(len(instances))[:, None].expand(-1, len(instances.frames)).clone()
        for column in range(len(instances.frames)):
            usable = (known & (weights[:, column] > 0)).nonzero()[:, 0]
            if len(usable) < 2:
                continue
            distance = torch.cdist(expected[usable, column], positions[usable, column])
            distance = distance / size[usable]
            labels = instances.labels[usable, column]
            own = distance.diagonal().clone()
            distance[(labels[:, None] != labels) | (distance > own[:, None])] = float('inf')
            distance.diagonal().copy_(own - margin)
            # The diagonal always remains possible.
            rows, columns = linear_sum_assignment(distance.clamp(max=1e6).numpy())
            source[usable[torch.from_numpy(rows)], column] = usable[torch.from_numpy(columns)]

        def exchanged(value: Tensor) -> Tensor:
            return value[source, torch.arange(source.shape[1])]

        names = ('valid', 'scores', 'labels', 'centers', 'rows')
        return replace(instances, **{name: exchanged(getattr(instances, name)) for name in names})

    def updated(
        self,
        instances: Observations,
        track_ids: list[int],
        kept: set[int],
        geometry: MaskGeometry,
    ) -> MotionMemory:
        """The memory after a clip; this object stays as it is.

        Args:
            instances (Observations): K instances that continue or start tracks.
            track_ids (list[int]): Numbers of their K tracks.
            kept (set[int]): Tracks to remember; the others are forgotten.
            geometry (MaskGeometry): Of the clip.
        """
        result = MotionMemory(self.history)
        result._sights = {
            track_id: sights for track_id, sights in self._sights.items() if track_id in kept
        }
        weights, positions, _ = geometry.of(instances)
        frames = torch.tensor(instances.frames, dtype=torch.float)
        for row, track_id in enumerate(track_ids):
            seen = weights[row] > 0
            if track_id not in kept or not seen.any():
                continue
            fresh = torch.cat(
                [frames[seen, None], weights[row, seen, None], positions[row, seen]], dim=1
            )
            merged = {sight[0]: sight for sight in self._sights.get(track_id, fresh[:0]).tolist()}
            for sight in fresh.tolist():
                # As for masks: of two sights in one frame the one with the higher score.
                if sight[0] not in merged or sight[1] > merged[sight[0]][1]:
                    merged[sight[0]] = sight
            newest = [merged[frame] for frame in sorted(merged)[-self.history :]]
            result._sights[track_id] = torch.tensor(newest)
        return result

    def _predict(
        self, track_ids: list[int], frames: list[int], image_size: tuple[int, int]
    ) -> Tensor:
        """(N, F, 2) positions in pixels, arbitrary for unknown tracks."""
        sights = torch.zeros(len(track_ids), self.history, 4)
        for row, track_id in enumerate(track_ids):
            known = self._sights.get(track_id)
            if known is not None:
                sights[row, : len(known)] = known
        time, weight, position = sights[..., 0], sights[..., 1], sights[..., 2:]
        total = weight.sum(1, keepdim=True).clamp(min=1e-6)
        mean_time = (weight * time).sum(1, keepdim=True) / total  # (N, 1)
        mean_position = (weight[..., None] * position).sum(1) / total  # (N, 2)
        time = time - mean_time
        spread = (weight * time**2).sum(1, keepdim=True)
        moved = (weight * time)[..., None] * (position - mean_position[:, None])
        velocity = moved.sum(1) / spread.clamp(min=1e-6)
        ahead = torch.tensor(frames, dtype=torch.float) - mean_time  # (N, F)
        expected = mean_position[:, None] + velocity[:, None] * ahead[..., None]
        height, width = image_size
        return expected.clamp(min=0).minimum(torch.tensor([width, height], dtype=torch.float))
