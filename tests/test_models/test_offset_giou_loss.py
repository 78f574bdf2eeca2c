"""The GIoU loss against MMDetection's, and where it differs."""

import torch
from mmdet.models.losses import GIoULoss

from mmdevis.models.dense_heads import OffsetGIoULoss


def boxes(count):
    corner, size = torch.rand(count, 2), torch.rand(count, 2) * 0.5 + 0.05
    return torch.cat([corner, corner + size], -1).double()


def test_without_offset_it_is_mmdetections():
    pred, target = boxes(50).requires_grad_(), boxes(50)
    ours = OffsetGIoULoss(eps=0.0, loss_weight=2.0)(pred, target, avg_factor=7.0)
    theirs = GIoULoss(eps=1e-12, loss_weight=2.0)(pred, target, avg_factor=7.0)
    torch.testing.assert_close(ours, theirs)
    (first,) = torch.autograd.grad(ours, pred)
    (second,) = torch.autograd.grad(theirs, pred)
    torch.testing.assert_close(first, second)


def test_offset_is_added_to_both_denominators():
    pred = torch.tensor([[0.0, 0.0, 0.2, 0.2]], dtype=torch.float64)
    target = torch.tensor([[0.1, 0.0, 0.3, 0.2]], dtype=torch.float64)
    loss = OffsetGIoULoss(eps=0.01)(pred, target, avg_factor=1.0)
    # Overlap .02, union .06, no more than the enclosing box.
    assert abs(loss.item() - (1 - 0.02 / 0.07)) < 1e-12


def test_boxes_without_area_give_a_finite_loss_and_gradient():
    pred = torch.zeros(2, 4, requires_grad=True)
    loss = OffsetGIoULoss()(pred, torch.zeros(2, 4), avg_factor=1.0)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(pred.grad).all()
