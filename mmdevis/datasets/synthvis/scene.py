"""What one SynthVIS video contains, drawn from the settings and the video's own generator."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from .config import SynthVISConfig
from .motion import accompany, crossing_pair, send_outside, wander
from .shapes import MAX_EXTENT
from .textures import background_texture, object_texture


@dataclass(frozen=True)
class SceneObject:
    """An object and its state in every frame.

    Attributes:
        label: Index into ``SynthVISConfig.classes``.
        aspect: Proportion of the shape, in [0.6, 1].
        texture: (S, S, 3) float32 picture that covers the object, 0..255.
        centers: (F, 2) centre (x, y) in pixels.
        radii: (F,) half size in pixels.
        angles: (F,) rotation in radians.
        twin: Index of its look-alike in the scene, or None.
    """

    label: int
    aspect: float
    texture: np.ndarray
    centers: np.ndarray
    radii: np.ndarray
    angles: np.ndarray
    twin: int | None = None


@dataclass(frozen=True)
class Occluder:
    """A bar in front of everything that is no object.

    Attributes:
        texture: (S, S, 3) float32 picture, 0..255, repeated along the bar.
        centers: (F, 2) a point on its middle line in pixels.
        angle: Angle of its middle line to the vertical in radians.
        width: Width in pixels.
    """

    texture: np.ndarray
    centers: np.ndarray
    angle: float
    width: float


@dataclass(frozen=True)
class Scene:
    """A video before it is drawn.

    Attributes:
        frames: Number of frames F.
        background: (H', W', 3) float32 picture, larger than the frame, 0..255.
        background_motion: (F, 2, 3) affine maps from frame to background pixels.
        objects: Objects, back to front.
        occluder: The bar in front, if any.
        blur: Standard deviation of the Gaussian blur in pixels.
        crossing: Indices of the two objects whose paths cross, or None.
    """

    frames: int
    background: np.ndarray
    background_motion: np.ndarray
    objects: tuple[SceneObject, ...]
    occluder: Occluder | None
    blur: float
    crossing: tuple[int, int] | None


def video_rng(seed: int, split: str, index: int, purpose: int = 0) -> np.random.Generator:
    """Random generator of one video: depends on nothing but its arguments.

    Args:
        seed: Seed of the data set, >= 0.
        split: Name of the split; other names give other videos.
        index: Index of the video in the split.
        purpose: 0 for the scene, 1 for the pixel noise, so that neither shifts the other.
    """
    return np.random.default_rng([seed, zlib.crc32(split.encode()), index, purpose])


def sample_scene(config: SynthVISConfig, rng: np.random.Generator) -> Scene:
    """Draw a video.

    Args:
        config: Settings.
        rng: Random generator of the video.

    Returns:
        The scene.
    """
    frames = config.frames
    if rng.random() < config.short_video_prob:
        frames = int(min(rng.integers(config.short_frames[0], config.short_frames[1] + 1), frames))
    background, colours, background_motion = _sample_background(config, rng, frames)
    objects, crossing = _sample_objects(config, rng, frames, colours)
    occluder = None
    if rng.random() < config.occluder_prob:
        occluder = _sample_occluder(config, rng, frames, colours)
    return Scene(
        frames=frames,
        background=background,
        background_motion=background_motion,
        objects=tuple(objects),
        occluder=occluder,
        blur=float(rng.uniform(0, config.blur) * config.size[0] / 96),
        crossing=crossing,
    )


def _sample_background(
    config: SynthVISConfig, rng: np.random.Generator, frames: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the background: (H', W', 3) picture, (2, 3) main colours, (F, 2, 3) maps of motion."""
    height, width = config.size
    pad = height // 2
    picture, colours = background_texture(
        rng, (height + 2 * pad, width + 2 * pad), height, config.texture_strength
    )
    speed = config.background_speed
    shift = rng.uniform(-speed, speed, 2) * height
    turn, zoom = rng.uniform(-0.5 * speed, 0.5 * speed, 2)
    t = np.arange(frames) - (frames - 1) / 2
    scale = np.exp(zoom * t)
    cos, sin = np.cos(turn * t) * scale, np.sin(turn * t) * scale
    middle = np.array([width / 2, height / 2])
    maps = np.empty((frames, 2, 3))
    maps[:, 0, 0], maps[:, 0, 1], maps[:, 1, 0], maps[:, 1, 1] = cos, -sin, sin, cos
    maps[:, :, 2] = middle + pad + t[:, None] * shift - maps[:, :, :2] @ middle
    return picture, colours, maps


def _sample_objects(
    config: SynthVISConfig, rng: np.random.Generator, frames: int, colours: np.ndarray
) -> tuple[list[SceneObject], tuple[int, int] | None]:
    """Draw the objects back to front, and which two of them cross."""
    height = config.size[0]
    count = int(rng.integers(config.num_objects[0], config.num_objects[1] + 1))
    objects = [_sample_object(config, rng, frames, colours) for _ in range(count)]
    twins = count >= 2 and rng.random() < config.look_alike_prob
    if twins:
        objects[1] = replace(
            objects[1],
            label=objects[0].label,
            aspect=objects[0].aspect,
            texture=objects[0].texture,
            radii=objects[0].radii,
        )
    crosses = count >= 2 and rng.random() < config.crossing_prob
    starts = _spread_starts(config, rng, count)
    for i, start in enumerate(starts):
        speed = rng.uniform(*config.speed) * height
        margin = 0.6 * float(objects[i].radii[0])
        path = wander(rng, start, speed, frames, config.size, margin)
        objects[i] = replace(objects[i], centers=path)
    if crosses:
        passing = rng.uniform(*config.crossing_speed) * height
        radius = float(min(objects[0].radii.min(), objects[1].radii.min()))
        pair = crossing_pair(rng, passing, frames, config.size, radius)
        objects[0], objects[1] = (replace(o, centers=p) for o, p in zip(objects[:2], pair))
    for i in range(2 if crosses else 1, count):
        if rng.random() < config.companion_prob:
            other = objects[int(rng.integers(i))]
            gap = rng.uniform(0.5, 1.1) * float(max(objects[i].radii[0], other.radii[0]))
            path = accompany(rng, other.centers, gap)
            objects[i] = replace(objects[i], centers=path)
    _sample_absences(config, rng, objects, frames, crosses)
    order = [int(i) for i in rng.permutation(count)]
    place = {old: new for new, old in enumerate(order)}
    shuffled = [objects[i] for i in order]
    if twins:
        for a, b in ((0, 1), (1, 0)):
            shuffled[place[a]] = replace(shuffled[place[a]], twin=place[b])
    return shuffled, (place[0], place[1]) if crosses else None


def _sample_object(
    config: SynthVISConfig, rng: np.random.Generator, frames: int, colours: np.ndarray
) -> SceneObject:
    """Draw class, look, size and rotation of an object; its path comes later."""
    t = np.arange(frames)
    radius = rng.uniform(*config.object_size) * config.size[0] / 2
    change = rng.uniform(0, config.size_change)
    wave = np.sin(2 * np.pi * t / rng.uniform(12, 32) + rng.uniform(0, 2 * np.pi))
    spin = rng.uniform(-config.rotation, config.rotation)
    return SceneObject(
        label=int(rng.integers(len(config.classes))),
        aspect=float(rng.uniform(0.6, 1)),
        texture=object_texture(rng, colours, config.contrast),
        centers=np.zeros((frames, 2)),
        radii=radius * (1 + change * wave),
        angles=rng.uniform(0, 2 * np.pi) + spin * t,
    )


def _spread_starts(
    config: SynthVISConfig, rng: np.random.Generator, count: int
) -> list[np.ndarray]:
    """Draw a (2,) first position for each object: of eight draws the farthest from the others."""
    height, width = config.size
    starts: list[np.ndarray] = []
    for _ in range(count):
        draws = rng.uniform((0.12 * width, 0.18 * height), (0.88 * width, 0.82 * height), (8, 2))
        if starts:
            gaps = np.linalg.norm(draws[:, None] - np.array(starts)[None], axis=-1).min(1)
            starts.append(draws[int(gaps.argmax())])
        else:
            starts.append(draws[0])
    return starts


def _sample_absences(
    config: SynthVISConfig,
    rng: np.random.Generator,
    objects: list[SceneObject],
    frames: int,
    crosses: bool,
) -> None:
    """Send objects outside for part of the video; changes the list in place.

    Every object has one absence at most, so two of them cannot undo each other.
    """
    empty = rng.random() < config.empty_frame_prob and frames >= 2
    empty_at_start = rng.random() < 0.5
    empty_frames = int(rng.integers(1, max(2, frames // 5 + 1)))
    for i, item in enumerate(objects):
        away = np.zeros(frames, bool)
        chance, returns = rng.random(), rng.random() < config.return_prob
        moment, length = rng.random(), int(rng.integers(config.absence[0], config.absence[1] + 1))
        if empty:
            away[:empty_frames] = empty_at_start
            away[frames - empty_frames :] = not empty_at_start
        elif frames < 6 or (crosses and i < 2):
            continue
        elif chance < config.late_prob:
            away[: 1 + int(moment * 0.5 * frames)] = True
        elif chance < config.late_prob + config.leave_prob:
            if returns:
                first = int((0.3 + 0.3 * moment) * frames)
                away[first : min(first + length, frames - 2)] = True
            else:
                away[int((0.5 + 0.4 * moment) * frames) :] = True
        extent = MAX_EXTENT * float(item.radii.max()) + 2
        speed = 0.12 * config.size[0]
        objects[i] = replace(
            item, centers=send_outside(item.centers, away, config.size, extent, speed)
        )


def _sample_occluder(
    config: SynthVISConfig, rng: np.random.Generator, frames: int, colours: np.ndarray
) -> Occluder:
    """Draw the bar in front."""
    height, width = config.size
    speed = rng.uniform(-1, 1) * config.background_speed * height
    start = np.array([rng.uniform(0.2, 0.8) * width, height / 2])
    t = np.arange(frames)[:, None]
    return Occluder(
        texture=object_texture(rng, colours, config.contrast),
        centers=start + t * np.array([speed, 0.0]),
        angle=float(rng.uniform(-0.35, 0.35)),
        width=float(rng.uniform(0.4, 1) * config.occluder_width * height),
    )
