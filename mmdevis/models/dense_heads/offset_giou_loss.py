"""Generalised IoU loss with the release's guard against division by zero."""

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class OffsetGIoULoss(nn.Module):
    """GIoU loss whose denominators have a small number added.

    MMDetection's ``GIoULoss`` replaces denominators below ``eps`` instead. On normalised boxes the
    difference is of the order of 1e-6 of the loss, which the release's numbers show.

    Args:
        eps: Added to the area of the union and of the enclosing box.
        loss_weight: Factor of the loss.
    """

    def __init__(self, eps: float = 1e-6, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.eps = eps
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, avg_factor: float) -> Tensor:
        """Sum of 1 - GIoU over all pairs, divided by ``avg_factor``.

        Args:
            pred: (n, 4) xyxy, normalised.
            target: (n, 4) xyxy, normalised.
            avg_factor: Normaliser.
        """
        inner = torch.minimum(pred[:, 2:], target[:, 2:]) - torch.maximum(
            pred[:, :2], target[:, :2]
        )
        outer = torch.maximum(pred[:, 2:], target[:, 2:]) - torch.minimum(
            pred[:, :2], target[:, :2]
        )
        overlap = inner.clamp(min=0).prod(-1)
        union = (pred[:, 2:] - pred[:, :2]).prod(-1) + (target[:, 2:] - target[:, :2]).prod(-1)
        union = union - overlap
        enclosing = outer.prod(-1)
        giou = overlap / (union + self.eps) - (enclosing - union) / (enclosing + self.eps)
        return self.loss_weight * (1 - giou).sum() / avg_factor
