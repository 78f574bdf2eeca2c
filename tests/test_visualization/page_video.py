"""A short video with two tracks and a ground truth, as pages are tested with."""

from __future__ import annotations

import numpy as np
import torch

from mmdevis.structures import FrameTracks, Track, encode_masks

SIZE = (60, 100)
LENGTH = 8
# What would run, or end the script element, if it were not escaped.
NASTY = '</script><img src=x onerror="document.title=\'hacked\'">&amp;\u2028'


def square(y: int, x: int, side: int = 20) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def picture(index: int) -> np.ndarray:
    return np.full((*SIZE, 3), (90, 110, 100 + 10 * index), np.uint8)


def found(index: int) -> FrameTracks:
    """Track 0 all the time; track 2 in frames 3 and 4; track 5 with a low score."""
    masks, ids, labels, scores = [square(5, 5 + 2 * index)], [0], [0], [0.9]
    if index in (3, 4):
        masks, ids = [*masks, square(35, 70)], [*ids, 2]
        labels, scores = [*labels, 1], [*scores, 0.5]
    masks, ids = [*masks, square(30, 10, 5)], [*ids, 5]
    labels, scores = [*labels, 1], [*scores, 0.1]
    return FrameTracks(
        frame_index=index,
        track_ids=torch.tensor(ids),
        labels=torch.tensor(labels),
        scores=torch.tensor(scores),
        masks=encode_masks(torch.from_numpy(np.stack(masks))),
    )


def truth() -> list[Track]:
    """The first track, a pixel lower; and an object that was missed."""
    tracks = []
    for number, masks in enumerate(
        ({i: square(6, 5 + 2 * i) for i in range(LENGTH)}, {6: square(30, 40, 10)})
    ):
        rles = encode_masks(torch.from_numpy(np.stack(list(masks.values()))))
        tracks.append(Track(number, 0, 1.0, dict(zip(masks, rles))))
    return tracks
