"""Bipartite matching of predicted trajectories to instances, DeVIS Sec. 3.1."""

from collections.abc import Sequence

import torch
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .clip_targets import ClipTargets


@TASK_UTILS.register_module()
class ClipHungarianAssigner:
    """Match each instance of a clip to one trajectory.

    The cost of a pair is the mean over the frames of MMDetection's match costs, so an image is a
    clip of one frame.

    Args:
        match_costs: Configs of MMDetection's costs, evaluated frame by frame.
    """

    def __init__(self, match_costs: Sequence[dict]) -> None:
        self.match_costs = [TASK_UTILS.build(cost) for cost in match_costs]

    @torch.no_grad()
    def cost(
        self, cls_scores: Tensor, boxes: Tensor, targets: ClipTargets, img_shape: tuple[int, int]
    ) -> Tensor:
        """Cost of every pair.

        Args:
            cls_scores: (T, Q, classes) logits.
            boxes: (T, Q, 4) normalised cxcywh.
            targets: G instances.
            img_shape: (height, width) of the frames without padding, pixels.

        Returns:
            (Q, G).
        """
        height, width = img_shape[:2]
        frames, queries = boxes.shape[:2]
        scale = boxes.new_tensor([width, height, width, height])
        # One call of each cost for all frames: MMDetection's costs compare everything with
        # everything, and the pairs of a frame with itself are picked out of that.
        pred = InstanceData(
            scores=cls_scores.flatten(0, 1), bboxes=_to_xyxy(boxes.flatten(0, 1)) * scale
        )
        gt = InstanceData(
            labels=targets.labels.repeat(frames),
            bboxes=_to_xyxy(targets.boxes.transpose(0, 1).flatten(0, 1)) * scale,
        )
        meta = dict(img_shape=(height, width))
        total = sum(cost(pred, gt, meta) for cost in self.match_costs)
        pairs = total.view(frames, queries, frames, len(targets))
        return pairs.diagonal(dim1=0, dim2=2).sum(-1) / frames

    def assign(
        self, cls_scores: Tensor, boxes: Tensor, targets: ClipTargets, img_shape: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Match with least total cost; arguments as in :meth:`cost`.

        Returns:
            - (n,) matched trajectories, ascending
            - (n,) their instances, n = min(Q, G)
        """
        return self.assign_sets(cls_scores[None], boxes[None], targets, img_shape)[0]

    def assign_sets(
        self, cls_scores: Tensor, boxes: Tensor, targets: ClipTargets, img_shape: tuple[int, int]
    ) -> list[tuple[Tensor, Tensor]]:
        """Match several sets of predictions, each with all instances.

        Args:
            cls_scores: (S, T, Q, classes) logits, such as those of S decoder layers.
            boxes: (S, T, Q, 4) normalised cxcywh.
            targets: G instances.
            img_shape: As in :meth:`cost`.

        Returns:
            For each set the result of :meth:`assign`.
        """
        sets, count = cls_scores.shape[0], cls_scores.shape[2]
        if len(targets) == 0:
            empty = targets.labels.new_zeros(0)
            return [(empty, empty)] * sets
        joined = [x.transpose(0, 1).flatten(1, 2) for x in (cls_scores, boxes)]
        cost = self.cost(*joined, targets, img_shape)
        # Diverged predictions still get some match, so that the check of the losses can name them.
        cost = cost.nan_to_num(nan=1e6, posinf=1e6, neginf=-1e6).cpu().numpy()
        device = targets.labels.device
        return [
            tuple(
                torch.as_tensor(rows, device=device)
                for rows in linear_sum_assignment(cost[s * count : (s + 1) * count])
            )
            for s in range(sets)
        ]


def _to_xyxy(boxes: Tensor) -> Tensor:
    centre, size = boxes.split(2, -1)
    return torch.cat([centre - size / 2, centre + size / 2], -1)
