import numpy as np
import pytest

from mmdevis.datasets.synthvis import SYNTHVIS_CLASSES
from mmdevis.datasets.synthvis.shapes import MAX_EXTENT, shape_distance

ASPECTS = (0.6, 0.8, 1.0)


def _grid(extent: float = 2.0, steps: int = 401) -> tuple[np.ndarray, np.ndarray]:
    axis = np.linspace(-extent, extent, steps)
    return np.meshgrid(axis, axis)


@pytest.mark.parametrize('aspect', ASPECTS)
@pytest.mark.parametrize('name', SYNTHVIS_CLASSES)
def test_shape_is_bounded_and_not_tiny(name, aspect):
    x, y = _grid()
    inside = shape_distance(name, x, y, aspect) < 0
    assert not inside[np.hypot(x, y) >= MAX_EXTENT].any()
    # Large enough beside its bounding circle for a mask to make sense.
    assert 0.15 < inside.mean() * 16 / np.pi < 1.2


@pytest.mark.parametrize('aspect', ASPECTS)
@pytest.mark.parametrize('name', SYNTHVIS_CLASSES)
def test_distance_has_slope_one_at_the_outline(name, aspect):
    x, y = _grid(steps=801)
    distance = shape_distance(name, x, y, aspect)
    step = x[0, 1] - x[0, 0]
    slope = np.hypot(*np.gradient(distance, step))
    outline = np.abs(distance) < 2 * step
    # Corners are allowed to differ: few of the pixels of an outline.
    assert (np.abs(slope[outline] - 1) < 0.1).mean() > 0.9


def test_only_the_ring_has_a_hole():
    centres = {n: shape_distance(n, np.zeros(1), np.zeros(1), 0.8)[0] for n in SYNTHVIS_CLASSES}
    assert [n for n, d in centres.items() if d > 0] == ['ring']


def test_shapes_differ():
    x, y = _grid(1.5, 151)
    masks = [shape_distance(n, x, y, 0.8) < 0 for n in SYNTHVIS_CLASSES]
    for i, a in enumerate(masks):
        for b in masks[i + 1 :]:
            assert (a & b).sum() / (a | b).sum() < 0.9


def test_unknown_shape():
    with pytest.raises(KeyError):
        shape_distance('dog', np.zeros(1), np.zeros(1), 1.0)
