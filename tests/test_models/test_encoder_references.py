"""Reference points of the encoder: right, made once per shape, and usable everywhere."""

import pytest
import torch
from torch._subclasses import FakeTensorMode

from mmdevis.models.layers import devis_layers
from mmdevis.models.layers.devis_layers import encoder_reference_points

SHAPES = ((3, 5), (2, 3))


@pytest.fixture(autouse=True)
def nothing_kept():
    devis_layers._kept_centres.cache_clear()
    yield
    devis_layers._kept_centres.cache_clear()


def expected(ratios):
    """One pixel after the other."""
    clips = []
    for ratio in ratios.tolist():
        rows = []
        for (height, width), own in zip(SHAPES, ratio):
            for y in range(height):
                for x in range(width):
                    valid = (x + 0.5) / (own[0] * width), (y + 0.5) / (own[1] * height)
                    rows.append([[valid[0] * r[0], valid[1] * r[1]] for r in ratio])
        clips.append(rows)
    return torch.tensor(clips)


RATIOS = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[0.5, 0.75], [0.6, 0.8]]])


def test_every_pixel_seen_from_every_level():
    for _ in range(2):  # made, and kept
        torch.testing.assert_close(encoder_reference_points(SHAPES, RATIOS), expected(RATIOS))


def test_made_once_per_shape():
    for count in (1, 2, 3):
        encoder_reference_points(SHAPES, RATIOS * (1 - 0.1 * count))
        assert devis_layers._kept_centres.cache_info().misses == 1
    encoder_reference_points(((4, 4),), torch.ones(1, 1, 2))
    assert devis_layers._kept_centres.cache_info().misses == 2


def test_training_after_inference():
    with torch.inference_mode():
        encoder_reference_points(SHAPES, RATIOS)
    weight = torch.ones(2, 21, 2, 2, requires_grad=True)
    # The product keeps the points for the backward pass.
    (encoder_reference_points(SHAPES, RATIOS) * weight).sum().backward()
    torch.testing.assert_close(weight.grad, expected(RATIOS))


def test_shapes_without_values_are_not_kept():
    with FakeTensorMode():
        assert encoder_reference_points(SHAPES, torch.ones(1, 2, 2)).shape == (1, 21, 2, 2)
    assert devis_layers._kept_centres.cache_info().currsize == 0
    torch.testing.assert_close(encoder_reference_points(SHAPES, RATIOS), expected(RATIOS))


def test_graphs_compute_them():
    compiled = torch.compile(encoder_reference_points, backend='eager', fullgraph=True)
    torch.testing.assert_close(compiled(SHAPES, RATIOS), expected(RATIOS))
    assert devis_layers._kept_centres.cache_info().currsize == 0
