"""Instances on a grid of tracks and frames: the common form of a clip and of the track memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdevis.structures import ClipPrediction


@dataclass
class Observations:
    """What is known of N instances in F frames.

    Small arrays are on the CPU, where the assignment runs; masks stay on their device. Instances
    may share masks: ``rows`` says which mask of a frame belongs to which instance.

    Args:
        frames (list[int]): F frame numbers, increasing.
        valid (Tensor): (N, F) bool, False where the instance was not predicted; the other
            arrays are arbitrary there.
        scores (Tensor): (N, F) float.
        labels (Tensor): (N, F) long.
        centers (Tensor): (N, F, 2) float, in 0..1.
        rows (Tensor): (N, F) long, index into the second dimension of ``masks``.
        masks (Tensor): (F, R, H, W) probabilities.
    """

    frames: list[int]
    valid: Tensor
    scores: Tensor
    labels: Tensor
    centers: Tensor
    rows: Tensor
    masks: Tensor

    def __len__(self) -> int:
        return len(self.valid)

    @classmethod
    def from_clip(cls, clip: ClipPrediction) -> Observations:
        """The instances of a clip; masks are a view of the clip's."""
        num, length = clip.num_instances, clip.num_frames
        return cls(
            frames=clip.frame_indices.tolist(),
            valid=torch.ones(num, length, dtype=torch.bool),
            scores=clip.scores.detach().float().cpu(),
            labels=clip.labels.detach().cpu()[:, None].expand(num, length),
            centers=clip.centers.detach().float().cpu(),
            rows=clip.mask_rows.detach().cpu()[:, None].expand(num, length),
            masks=clip.masks.detach().transpose(0, 1),
        )

    @classmethod
    def empty(cls, like: Observations) -> Observations:
        """No instance in no frame, with masks of the size and kind of ``like``."""
        return cls(
            frames=[],
            valid=torch.zeros(0, 0, dtype=torch.bool),
            scores=torch.zeros(0, 0),
            labels=torch.zeros(0, 0, dtype=torch.long),
            centers=torch.zeros(0, 0, 2),
            rows=torch.zeros(0, 0, dtype=torch.long),
            masks=like.masks.new_zeros(0, 0, *like.masks.shape[2:]),
        )

    def select_frames(self, columns: Sequence[int]) -> Observations:
        """The same instances in some of the frames, given by position.

        Neighbouring positions, the usual case, give views; otherwise masks are copied.
        """
        columns = list(columns)
        index: slice | list[int] = columns
        first = columns[0] if columns else 0
        if columns == list(range(first, first + len(columns))):
            index = slice(first, first + len(columns))
        return Observations(
            frames=[self.frames[column] for column in columns],
            valid=self.valid[:, index],
            scores=self.scores[:, index],
            labels=self.labels[:, index],
            centers=self.centers[:, index],
            rows=self.rows[:, index],
            masks=self.masks[index],
        )

    def select_instances(self, index: Tensor) -> Observations:
        """Some of the instances, ``index`` (M,) long or (N,) bool; masks stay as they are."""
        return Observations(
            frames=self.frames,
            valid=self.valid[index],
            scores=self.scores[index],
            labels=self.labels[index],
            centers=self.centers[index],
            rows=self.rows[index],
            masks=self.masks,
        )


def common_frames(first: Observations, second: Observations) -> tuple[Observations, Observations]:
    """Both restricted to the frames that both know, so that columns correspond."""
    position = {frame: column for column, frame in enumerate(second.frames)}
    columns = [column for column, frame in enumerate(first.frames) if frame in position]
    return (
        first.select_frames(columns),
        second.select_frames([position[first.frames[column]] for column in columns]),
    )
