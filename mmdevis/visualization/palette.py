"""Colours that tell tracks apart."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

NUM_COLOURS = 48


@lru_cache(maxsize=1)
def track_palette() -> np.ndarray:
    """Colours in an order in which each is as far as possible from all before it.

    Distances are those of CIE Lab, close to what eyes see. Candidates are vivid colours only: dark,
    pale and grey ones vanish in pictures.

    Returns:
        uint8 array (48, 3), BGR, always the same; read-only.
    """
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    candidates = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    pixels = candidates[None].astype(np.float32) / 255
    lab = cv2.cvtColor(pixels, cv2.COLOR_BGR2LAB)[0]
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    vivid = (lab[:, 0] > 35) & (lab[:, 0] < 92) & (chroma > 45)
    candidates, lab = candidates[vivid], lab[vivid]

    start = np.abs(candidates.astype(int) - (0, 127, 255)).sum(1).argmin()  # orange
    chosen = [int(start)]
    distance = np.linalg.norm(lab - lab[start], axis=1)
    while len(chosen) < NUM_COLOURS:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
    palette = candidates[chosen]
    palette.flags.writeable = False
    return palette


def track_colour(track_id: int) -> tuple[int, int, int]:
    """Colour of a track.

    Args:
        track_id: Number of the track, any integer. The first numbers differ most; colours come
            again after 48 tracks.

    Returns:
        (blue, green, red), each 0..255.
    """
    blue, green, red = track_palette()[int(track_id) % NUM_COLOURS].tolist()
    return blue, green, red
