"""Paths of objects: positions of the centre in pixels, one per frame."""

from __future__ import annotations

import numpy as np


def _smooth_through(knots: np.ndarray, times: np.ndarray, frames: int) -> np.ndarray:
    """Interpolate knots with a cubic Hermite spline.

    Args:
        knots: (K, 2) positions, K >= 2.
        times: (K,) increasing times in frames.
        frames: Number of frames F.

    Returns:
        (F, 2) positions.
    """
    slopes = np.gradient(knots, times, axis=0)
    t = np.arange(frames, dtype=np.float64)
    i = np.clip(np.searchsorted(times, t, side='right') - 1, 0, len(times) - 2)
    span = times[i + 1] - times[i]
    s = ((t - times[i]) / span)[:, None]
    span = span[:, None]
    return (
        (1 + 2 * s) * (1 - s) ** 2 * knots[i]
        + s * (1 - s) ** 2 * span * slopes[i]
        + s**2 * (3 - 2 * s) * knots[i + 1]
        + s**2 * (s - 1) * span * slopes[i + 1]
    )


def wander(
    rng: np.random.Generator,
    start: np.ndarray,
    speed: float,
    frames: int,
    size: tuple[int, int],
    margin: float,
) -> np.ndarray:
    """Smooth random walk that stays about inside the frame.

    Args:
        rng: Random generator.
        start: (2,) first position (x, y) in pixels.
        speed: Pixels per frame between the knots of the path.
        frames: Number of frames F.
        size: Frame height and width.
        margin: Distance in pixels that knots keep from the border.

    Returns:
        (F, 2) positions.
    """
    step = 5.0
    count = int(np.ceil(max(frames - 1, 1) / step)) + 1
    low = np.array([margin, margin])
    high = np.maximum(np.array([size[1], size[0]]) - margin, low)
    heading = rng.uniform(0, 2 * np.pi)
    knots = [np.asarray(start, np.float64)]
    for _ in range(count - 1):
        heading += rng.uniform(-0.8, 0.8)
        move = speed * step * np.array([np.cos(heading), np.sin(heading)])
        target = knots[-1] + move
        # Turn back where the path would leave.
        for axis in range(2):
            if not low[axis] <= target[axis] <= high[axis]:
                move[axis] = -move[axis]
        heading = float(np.arctan2(move[1], move[0]))
        knots.append(np.clip(knots[-1] + move, low, high))
    return _smooth_through(np.array(knots), np.arange(count) * step, frames)


def crossing_pair(
    rng: np.random.Generator,
    speed: float,
    frames: int,
    size: tuple[int, int],
    radius: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Two paths that swing through each other about the middle of the frame, once or more often.

    Both move smoothly and never turn where they meet, so motion tells which is which afterwards,
    and nothing else may.

    Args:
        rng: Random generator.
        speed: Pixels per frame at which they pass.
        frames: Number of frames F.
        size: Frame height and width.
        radius: Half size of the objects in pixels; they pass within a fraction of it.

    Returns:
        Two (F, 2) arrays of positions.
    """
    height, width = size
    t = np.arange(frames, dtype=np.float64)[:, None]
    meeting = (frames - 1) * rng.uniform(0.35, 0.65)
    centre = np.array([width * rng.uniform(0.42, 0.58), height * rng.uniform(0.4, 0.6)])
    drift = rng.uniform(-0.006, 0.006, 2) * height
    angle = rng.uniform(-0.45, 0.45) + np.pi * rng.integers(2)
    # Both swing with one period, or they would not meet again; the way they swing differs a little.
    reach = width * rng.uniform(0.28, 0.36)
    rate = speed / reach
    paths = []
    for heading in (angle, angle + np.pi + rng.uniform(-0.3, 0.3)):
        along = np.array([np.cos(heading), np.sin(heading)])
        offset = rng.uniform(-0.2, 0.2) * radius * np.array([-along[1], along[0]])
        swing = reach * rng.uniform(0.85, 1) * np.sin(rate * (t - meeting))
        paths.append(centre + offset + drift * (t - meeting) + swing * along)
    return paths[0], paths[1]


def accompany(rng: np.random.Generator, path: np.ndarray, gap: float) -> np.ndarray:
    """Stay beside another object, so that one of the two is partly hidden for long.

    Args:
        rng: Random generator.
        path: (F, 2) positions of the other object.
        gap: Mean distance to it in pixels.

    Returns:
        (F, 2) positions.
    """
    t = np.arange(len(path), dtype=np.float64)
    angle = rng.uniform(0, 2 * np.pi) + rng.uniform(-0.12, 0.12) * t
    distance = gap * (1 + 0.35 * np.sin(2 * np.pi * t / rng.uniform(10, 20) + rng.uniform(0, 6.28)))
    return path + distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def send_outside(
    path: np.ndarray,
    away: np.ndarray,
    size: tuple[int, int],
    extent: float,
    speed: float,
) -> np.ndarray:
    """Bend a path so that its object is fully outside the frame at given frames.

    The object goes to the border that is nearest when its absence begins (or ends, for an absence
    from the first frame on) and comes back the same way, at about ``speed``.

    Args:
        path: (F, 2) positions inside the frame.
        away: (F,) bool, True where the object has to be outside. One run of True only.
        size: Frame height and width.
        extent: Distance from the centre in pixels beyond which nothing of the object is.
        speed: Pixels per frame at which it goes and comes.

    Returns:
        (F, 2) positions.
    """
    frames = np.flatnonzero(away)
    if len(frames) == 0:
        return path
    first, last = int(frames[0]), int(frames[-1])
    anchor = path[last] if first == 0 else path[first]
    height, width = size
    to_border = np.array([anchor[0], width - anchor[0], anchor[1], height - anchor[1]])
    side = int(to_border.argmin())
    direction = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)][side], np.float64)
    # Pixels still to go, per frame, until the object is just outside on that side.
    missing = (to_border[side] + extent + 1) + (anchor - path[frames]) @ direction
    distance = float(missing.max())
    # Where time is short it has to hurry, or it would not be seen at all.
    ramp = np.clip(distance / max(speed, 1e-6), 1, max((len(path) - len(frames)) / 2, 1))
    t = np.arange(len(path), dtype=np.float64)
    gap = np.maximum(np.maximum(first - t, t - last), 0)
    return path + np.clip(1 - gap / ramp, 0, 1)[:, None] * distance * direction
