"""Dense auxiliary loss."""

import pytest
import torch

from mmdevis.models.dense_heads import PixelClassifier
from mmdevis.models.task_modules import ClipTargets


def make_targets(label: int) -> ClipTargets:
    """One instance that covers the left half of both 16 x 16 frames."""
    masks = torch.zeros(1, 2, 16, 16, dtype=torch.bool)
    masks[..., :8] = True
    return ClipTargets(
        labels=torch.tensor([label]),
        boxes=torch.tensor([[[0.25, 0.5, 0.5, 1.0]] * 2]),
        masks=masks,
        valid=torch.ones(1, 2, dtype=torch.bool),
    )


def one_hot_features(label: int, num_classes: int) -> torch.Tensor:
    """(1, 2, num_classes + 1, 4, 4), right everywhere: the class on the left, background else."""
    features = torch.zeros(1, 2, num_classes + 1, 4, 4)
    features[:, :, label, :, :2] = 30.0
    features[:, :, num_classes, :, 2:] = 30.0
    return features


def identity(num_classes: int, **options) -> PixelClassifier:
    classifier = PixelClassifier(num_classes + 1, num_classes, **options)
    torch.nn.init.zeros_(classifier.predictor.bias)
    with torch.no_grad():
        classifier.predictor.weight.copy_(torch.eye(num_classes + 1)[:, :, None, None])
    return classifier


def test_right_classes_cost_nothing_and_wrong_ones_do():
    classifier = identity(3)
    features = one_hot_features(1, 3)
    assert classifier.loss(features, [make_targets(1)]).item() == pytest.approx(0.0, abs=1e-5)
    assert classifier.loss(features, [make_targets(2)]).item() > 5.0


def test_background_weight():
    features = one_hot_features(1, 3)
    features[:, :, 3] = 0.0  # background unknown, the object right
    light = identity(3, background_weight=0.1).loss(features, [make_targets(1)])
    heavy = identity(3, background_weight=1.0).loss(features, [make_targets(1)])
    # The loss is a weighted mean: log(4) on half of the pixels.
    expected = torch.log(torch.tensor(4.0))
    torch.testing.assert_close(heavy, expected / 2)
    torch.testing.assert_close(light, expected * 0.1 / 1.1)


def test_clip_without_objects_is_background():
    targets = make_targets(0)
    empty = ClipTargets(targets.labels[:0], targets.boxes[:0], targets.masks[:0], targets.valid[:0])
    classifier = PixelClassifier(8, 3)
    loss = classifier.loss(torch.randn(1, 2, 8, 4, 4, requires_grad=True), [empty])
    loss.backward()
    assert torch.isfinite(loss)
    assert classifier.predictor.weight.grad.abs().sum() > 0
