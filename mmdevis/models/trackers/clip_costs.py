"""Costs between tracks and the instances of a new clip, all pairs at once (paper, section 3.5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .observations import Observations


@dataclass(frozen=True)
class ClipCost:
    """Multi-cue matching cost.

    The cost of a track and an instance is ``- mask_weight * IoU - class_weight * same class +
    score_weight * |score difference| + center_weight * |centre difference|``, each term averaged
    over the frames in which both were predicted.

    Args:
        mask_weight (float): Weight of the mask IoU.
        class_weight (float): Weight of the share of frames with equal class.
        score_weight (float): Weight of the absolute score difference.
        center_weight (float): Weight of the absolute centre difference (mean over x and y, which
            are in 0..1).
        binary_masks (bool): Compare masks after thresholding at 0.5 instead of probabilities.
        per_frame_iou (bool): Average the IoU of single frames instead of one volumetric IoU (sum
            of intersections over sum of unions).
    """

    mask_weight: float = 1.0
    class_weight: float = 1.0
    score_weight: float = 1.0
    center_weight: float = 0.0
    binary_masks: bool = False
    per_frame_iou: bool = False

    def __call__(self, tracks: Observations, instances: Observations) -> tuple[Tensor, Tensor]:
        """Cost of every pair.

        Args:
            tracks (Observations): N tracks in F frames.
            instances (Observations): K instances in the same F frames.

        Returns:
            tuple[Tensor, Tensor]: cost (N, K) float, 0 for pairs without a common frame; and
            (N, K) bool, whether the pair has a common frame.
        """
        both = tracks.valid[:, None] & instances.valid[None]  # (N, K, F)
        weight = both.float() / both.sum(-1, keepdim=True).clamp(min=1)
        cost = torch.zeros(len(tracks), len(instances))
        if self.mask_weight:
            cost -= self.mask_weight * self.mask_iou(tracks, instances, both)
        if self.class_weight:
            cost -= self.class_weight * (same_class(tracks, instances) * weight).sum(-1)
        if self.score_weight:
            difference = (tracks.scores[:, None] - instances.scores[None]).abs()
            cost += self.score_weight * _where(both, difference).mul_(weight).sum(-1)
        if self.center_weight:
            difference = (tracks.centers[:, None] - instances.centers[None]).abs().mean(-1)
            cost += self.center_weight * _where(both, difference).mul_(weight).sum(-1)
        return cost, both.any(-1)

    def mask_iou(self, tracks: Observations, instances: Observations, both: Tensor) -> Tensor:
        """Soft IoU of every pair over common frames.

        Args:
            tracks (Observations): N tracks in F frames.
            instances (Observations): K instances in the same F frames.
            both (Tensor): (N, K, F) bool, frames that count for a pair.

        Returns:
            Tensor: (N, K) IoU in 0..1; 0 where the union is empty.
        """
        products, track_areas, instance_areas = mask_products(
            tracks.masks, instances.masks, self.binary_masks
        )
        frame = torch.arange(len(tracks.frames))
        intersection = products[frame, tracks.rows[:, None], instances.rows[None]]  # (N, K, F)
        union = (
            track_areas[frame, tracks.rows][:, None]
            + instance_areas[frame, instances.rows][None]
            - intersection
        )
        intersection, union = _where(both, intersection), _where(both, union)
        if self.per_frame_iou:
            return _divide(intersection, union).sum(-1) / both.sum(-1).clamp(min=1)
        return _divide(intersection.sum(-1), union.sum(-1))


def mask_products(first: Tensor, second: Tensor, binary: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of products and areas of masks, per frame, as one batched matrix product.

    Args:
        first (Tensor): (F, R, H, W) probabilities.
        second (Tensor): (F, U, H, W) probabilities.
        binary (bool): Threshold at 0.5 first.

    Returns:
        tuple[Tensor, Tensor, Tensor]: products (F, R, U), areas (F, R) and (F, U), float on the
        CPU, in pixels.
    """
    # fp32 also for half-precision masks: a sum over a frame does not fit into fp16.
    first, second = ((x > 0.5 if binary else x).float().flatten(2) for x in (first, second))
    products = torch.bmm(first, second.transpose(1, 2))
    return products.cpu(), first.sum(-1).cpu(), second.sum(-1).cpu()


def same_class(tracks: Observations, instances: Observations) -> Tensor:
    """(N, K, F) bool, whether track and instance have the same class in a frame."""
    return tracks.labels[:, None] == instances.labels[None]


def assign(cost: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Hungarian assignment among allowed pairs.

    As many allowed pairs as possible are made, and among those sets the one with the lowest cost.

    Args:
        cost (Tensor): (N, K) finite.
        allowed (Tensor): (N, K) bool.

    Returns:
        tuple[Tensor, Tensor]: (M,) long rows and (M,) long columns of the pairs.
    """
    if not allowed.any():
        return torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    # One forbidden pair must cost more than any sum of allowed ones.
    forbidden = (2 * cost[allowed].abs().max().item() + 1) * (min(cost.shape) + 1)
    padded = torch.where(allowed, cost.double(), torch.tensor(forbidden, dtype=torch.double))
    rows, columns = (torch.from_numpy(x) for x in linear_sum_assignment(padded.numpy()))
    kept = allowed[rows, columns]
    return rows[kept].long(), columns[kept].long()


def _where(mask: Tensor, value: Tensor) -> Tensor:
    """``value`` where ``mask``, else 0 (also where ``value`` is not a number)."""
    return torch.where(mask, value, torch.zeros((), dtype=value.dtype))


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Quotient, 0 where the denominator is 0 (and NaN where an argument is)."""
    return torch.where(denominator == 0, torch.zeros(()), numerator / denominator)
