"""Colours and textures of objects, occluders and backgrounds, drawn independently of the class."""

from __future__ import annotations

import cv2
import numpy as np

_PATTERNS = ('plain', 'stripes', 'checker', 'dots', 'clouds', 'waves')
# Largest possible distance of two RGB colours.
_COLOUR_RANGE = 255.0 * np.sqrt(3.0)


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], cell: float) -> np.ndarray:
    """Smooth random field.

    Args:
        rng: Random generator.
        size: Height and width in pixels.
        cell: Distance in pixels over which the field changes.

    Returns:
        (H, W) float32 in [0, 1], both ends reached.
    """
    rows, cols = (max(2, int(np.ceil(s / cell)) + 1) for s in size)
    coarse = rng.random((rows, cols), dtype=np.float32)
    field = cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(high - low, 1e-6)


def pattern(
    rng: np.random.Generator, size: tuple[int, int], period: float, kind: str | None = None
) -> np.ndarray:
    """Random grey pattern that blends two colours.

    Args:
        rng: Random generator.
        size: Height and width in pixels.
        period: Length in pixels after which the pattern repeats.
        kind: One of plain, stripes, checker, dots, clouds, waves; drawn when None.

    Returns:
        (H, W) float32 in [0, 1].
    """
    kind = kind or _PATTERNS[int(rng.integers(len(_PATTERNS)))]
    angle, shift_x, shift_y = rng.random() * np.pi, *(rng.random(2) * period)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    u = (x * np.cos(angle) + y * np.sin(angle) + shift_x) * (2 * np.pi / period)
    v = (y * np.cos(angle) - x * np.sin(angle) + shift_y) * (2 * np.pi / period)
    if kind == 'plain':
        field = np.full(size, 0.2, np.float32)
    elif kind == 'stripes':
        field = 0.5 + 0.5 * np.tanh(4 * np.sin(u))
    elif kind == 'checker':
        field = 0.5 + 0.5 * np.tanh(5 * np.sin(u) * np.sin(v))
    elif kind == 'dots':
        field = 0.5 + 0.5 * np.tanh(4 * (np.cos(u) + np.cos(v) - 0.6))
    elif kind == 'waves':
        field = 0.5 + 0.5 * np.sin(u + 1.5 * np.sin(v))
    else:
        field = smooth_noise(rng, size, period / 2)
    return field.astype(np.float32)


def colour_away_from(
    rng: np.random.Generator, others: np.ndarray, distance: float, tries: int = 48
) -> np.ndarray:
    """Draw a colour at some distance from others: the first far enough, else the farthest of all.

    Args:
        rng: Random generator.
        others: (N, 3) colours to keep away from, 0..255; N may be 0.
        distance: Distance wanted, in [0, 1] of the largest distance in RGB.
        tries: Colours drawn at most.

    Returns:
        (3,) float32 colour, 0..255.
    """
    candidates = rng.uniform(15, 240, (tries, 3)).astype(np.float32)
    if len(others) == 0:
        return candidates[0]
    gap = np.linalg.norm(candidates[:, None] - others[None], axis=-1).min(1) / _COLOUR_RANGE
    enough = np.flatnonzero(gap >= distance)
    return candidates[enough[0] if len(enough) else int(gap.argmax())]


def object_texture(
    rng: np.random.Generator, background: np.ndarray, contrast: float, size: int = 96
) -> np.ndarray:
    """Texture of one object, or of an occluder.

    Args:
        rng: Random generator.
        background: (N, 3) main colours of the background, 0..255.
        contrast: See ``SynthVISConfig.contrast``.
        size: Side of the texture in pixels.

    Returns:
        (size, size, 3) float32, 0..255.
    """
    first = colour_away_from(rng, background, contrast)
    # The second colour differs from the first so that the pattern shows, and still from the
    # background.
    second = colour_away_from(rng, np.concatenate([background, first[None]]), 0.8 * contrast)
    blend = pattern(rng, (size, size), size * rng.uniform(0.2, 0.45))[..., None] * rng.uniform(
        0.45, 0.9
    )
    return first * (1 - blend) + second * blend


def background_texture(
    rng: np.random.Generator, size: tuple[int, int], scale: float, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Texture of a background.

    Args:
        rng: Random generator.
        size: Height and width in pixels.
        scale: Length in pixels of one unit of the scene (the frame height).
        strength: See ``SynthVISConfig.texture_strength``.

    Returns:
        (H, W, 3) float32 picture, 0..255, and its (2, 3) main colours.
    """
    base = colour_away_from(rng, np.zeros((0, 3), np.float32), 0)
    target = colour_away_from(rng, base[None], 0.2)
    other = base + (target - base) * np.float32(strength)
    blend = smooth_noise(rng, size, scale * rng.uniform(0.2, 0.5))
    detail = pattern(rng, size, scale * rng.uniform(0.08, 0.3))
    grain = smooth_noise(rng, size, scale * 0.04)
    mix = np.clip(0.6 * blend + 0.4 * detail, 0, 1)[..., None]
    picture = base * (1 - mix) + other * mix + (grain[..., None] - 0.5) * (60 * strength)
    return np.clip(picture, 0, 255).astype(np.float32), np.stack([base, other])
