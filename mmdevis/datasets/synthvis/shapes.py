"""Shape families of SynthVIS: the class of an object is its shape and nothing else.

Every shape is an implicit function over the unit square of the object: negative inside, about the
distance to the outline (in units of the object's half size) near it. The sign at a pixel centre
decides the mask exactly; the distance gives the soft edge of the picture.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SYNTHVIS_CLASSES: tuple[str, ...] = ('disc', 'box', 'triangle', 'star', 'ring', 'cross')


def _disc(x: np.ndarray, y: np.ndarray, aspect: float) -> np.ndarray:
    """Ellipse with half axes 1 and ``aspect``; value over gradient approximates the distance."""
    radius = np.sqrt(x * x + (y / aspect) ** 2)
    slope = np.sqrt(x * x + (y / aspect**2) ** 2)
    return radius * (radius - 1) / np.maximum(slope, 1e-6)


def _box(x: np.ndarray, y: np.ndarray, aspect: float) -> np.ndarray:
    """Rectangle with half sides 0.95 and ``0.95 * aspect``."""
    return np.maximum(np.abs(x) - 0.95, np.abs(y) - 0.95 * aspect)


def _triangle(x: np.ndarray, y: np.ndarray, aspect: float) -> np.ndarray:
    """Isosceles triangle, tip up, base at y = 0.8."""
    half_base, top, base = 0.75 + 0.25 * aspect, -1.0, 0.8
    # The side runs from (0, top) to (half_base, base); its outward normal is (height, -half_base).
    height = base - top
    side = (np.abs(x) * height - (y - top) * half_base) / np.hypot(height, half_base)
    return np.maximum(side, y - base)


def _star(x: np.ndarray, y: np.ndarray, aspect: float) -> np.ndarray:
    """Star of five points; ``aspect`` sets how deep the notches are."""
    outer, inner = 1.1, 0.4 + 0.15 * aspect
    sector = np.pi / 5
    radius = np.hypot(x, y)
    # Fold the plane into half of one point: angle 0 at the tip, `sector` at the notch.
    angle = np.abs(np.mod(np.arctan2(x, -y) + sector, 2 * sector) - sector)
    px, py = radius * np.cos(angle), radius * np.sin(angle)
    notch_x, notch_y = inner * np.cos(sector), inner * np.sin(sector)
    normal = np.hypot(notch_y, outer - notch_x)
    return ((px - outer) * notch_y + py * (outer - notch_x)) / normal


def _ring(x: np.ndarray, y: np.ndarray, aspect: float) -> np.ndarray:
    """Ring with outer radius 1; a real hole, so what is behind shows through."""
    hole = 0.28 + 0.15 * aspect
    middle, half_width = (1 + hole) / 2, (1 - hole) / 2
    return np.abs(np.hypot(x, y) - middle) - half_width


def _cross(x: np.ndarray, y: np.ndarray, aspect: float) -> np.ndarray:
    """Plus sign of two equal bars."""
    arm = 0.28 + 0.12 * aspect
    across, along = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(across - 1, along - arm), np.maximum(across - arm, along - 1))


_SHAPES: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    'disc': _disc,
    'box': _box,
    'triangle': _triangle,
    'star': _star,
    'ring': _ring,
    'cross': _cross,
}

# No shape reaches further from its centre than this many half sizes (corner of the box, tip of the
# star).
MAX_EXTENT = 1.4


def shape_distance(name: str, x: np.ndarray, y: np.ndarray, aspect: float) -> np.ndarray:
    """Signed distance to the outline of a shape.

    Args:
        name: One of ``SYNTHVIS_CLASSES``.
        x: Object coordinates to the right, any shape, in half sizes of the object.
        y: Object coordinates downwards, same shape as ``x``.
        aspect: Proportion of the instance, in [0.6, 1].

    Returns:
        Array of the shape of ``x``: negative inside, in half sizes of the object.

    Raises:
        KeyError: If the name is unknown.
    """
    return _SHAPES[name](x, y, aspect)
