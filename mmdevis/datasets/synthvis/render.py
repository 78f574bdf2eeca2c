"""Draw the frames of a scene and their exact masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from .config import SynthVISConfig
from .scene import Occluder, Scene, SceneObject
from .shapes import MAX_EXTENT, shape_distance


@dataclass(frozen=True)
class RenderedFrame:
    """One frame and its truth.

    Attributes:
        image: (H, W, 3) uint8 picture, RGB.
        masks: (N, H, W) bool visible part of every object of the scene; masks do not overlap.
        full_areas: (N,) int64 pixels of every object inside the frame as if nothing were in front
            of it.
    """

    image: np.ndarray
    masks: np.ndarray
    full_areas: np.ndarray


def render_scene(
    scene: Scene, config: SynthVISConfig, rng: np.random.Generator
) -> Iterator[RenderedFrame]:
    """Draw a scene, one frame at a time.

    Args:
        scene: The scene.
        config: Settings it was drawn from.
        rng: Random generator of the pixel noise.

    Yields:
        Every frame in order.
    """
    height, width = config.size
    for t in range(scene.frames):
        canvas = cv2.warpAffine(
            scene.background,
            scene.background_motion[t],
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        # Which object owns each pixel: -1 is background or occluder.
        owner = np.full((height, width), -1, np.int32)
        full_areas = np.zeros(len(scene.objects), np.int64)
        for i, item in enumerate(scene.objects):
            full_areas[i] = _draw_object(canvas, owner, i, item, t, config)
        if scene.occluder is not None:
            _draw_occluder(canvas, owner, scene.occluder, t)
        if scene.blur > 0.05:
            canvas = cv2.GaussianBlur(canvas, (0, 0), scene.blur)
        canvas += rng.standard_normal(canvas.shape, dtype=np.float32) * np.float32(config.noise)
        masks = owner[None] == np.arange(len(scene.objects))[:, None, None]
        image = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
        yield RenderedFrame(image=image, masks=masks, full_areas=full_areas)


def _draw_object(
    canvas: np.ndarray,
    owner: np.ndarray,
    index: int,
    item: SceneObject,
    t: int,
    config: SynthVISConfig,
) -> int:
    """Draw an object over canvas (H, W, 3) and owner (H, W), in place.

    Returns:
        Its pixels inside the frame, whatever is drawn over it later.
    """
    height, width = owner.shape
    (cx, cy), radius, angle = item.centers[t], float(item.radii[t]), float(item.angles[t])
    reach = MAX_EXTENT * radius + 2
    left, right = max(0, int(cx - reach)), min(width, int(np.ceil(cx + reach)) + 1)
    top, bottom = max(0, int(cy - reach)), min(height, int(np.ceil(cy + reach)) + 1)
    if left >= right or top >= bottom:
        return 0
    # Pixel (row, column) has its centre at (column + 0.5, row + 0.5).
    dx = np.arange(left, right) + 0.5 - cx
    dy = (np.arange(top, bottom) + 0.5 - cy)[:, None]
    cos, sin = np.cos(angle) / radius, np.sin(angle) / radius
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    distance = shape_distance(config.classes[item.label], u, v, item.aspect) * radius
    inside = distance < 0
    # The rim is darker, so that look-alikes on top of each other still have an edge between them.
    rim = np.clip((-distance - 0.5) / max(0.12 * radius, 1.0), 0, 1)
    colour = _sample_texture(item.texture, u / MAX_EXTENT, v / MAX_EXTENT)
    colour *= (0.55 + 0.45 * rim).astype(np.float32)[..., None]
    alpha = np.clip(0.5 - distance, 0, 1).astype(np.float32)[..., None]
    patch = canvas[top:bottom, left:right]
    patch += alpha * (colour - patch)
    owner[top:bottom, left:right][inside] = index
    return int(inside.sum())


def _draw_occluder(canvas: np.ndarray, owner: np.ndarray, bar: Occluder, t: int) -> None:
    """Draw the bar over canvas (H, W, 3) and owner (H, W), in place."""
    height, width = owner.shape
    cx, cy = bar.centers[t]
    dx = np.arange(width) + 0.5 - cx
    dy = (np.arange(height) + 0.5 - cy)[:, None]
    cos, sin = np.cos(bar.angle), np.sin(bar.angle)
    across, along = dx * cos + dy * sin, dy * cos - dx * sin
    distance = np.abs(across) - bar.width / 2
    # A triangle wave repeats the texture along the bar without a seam.
    wave = np.abs(np.mod(along / height, 2) - 1) * 2 - 1
    colour = _sample_texture(bar.texture, np.clip(across / height, -1, 1), wave)
    alpha = np.clip(0.5 - distance, 0, 1).astype(np.float32)[..., None]
    canvas += alpha * (colour - canvas)
    owner[distance < 0] = -1


def _sample_texture(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Look up an (S, S, 3) texture at (h, w) coordinates in [-1, 1]; returns (h, w, 3) float32."""
    size = texture.shape[0]
    column = ((u + 1) * (size - 1) / 2).astype(np.float32)
    row = ((v + 1) * (size - 1) / 2).astype(np.float32)
    return cv2.remap(texture, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
