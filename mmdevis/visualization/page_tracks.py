"""Tracks in the form in which the result page draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils
from scipy.optimize import linear_sum_assignment

from mmdevis.structures import RLE

# Tracks and objects that overlap less are not called a match.
_MIN_OVERLAP = 0.1


class PageTrack:
    """Outlines of one track.

    Args:
        number: Its number.
        label: 0-based class.
        score: Score in 0..1; None for ground truth.

    Attributes:
        shapes (dict[int, list]): Per frame number the outlines, each x, y, x, y, ... in pixels of
            the video. Points are pixels, not corners of pixels.
        masks (dict[int, RLE]): The masks that they were made of.
    """

    def __init__(self, number: int, label: int, score: float | None) -> None:
        self.number = number
        self.label = label
        self.score = score
        self.shapes: dict[int, list[list[int]]] = {}
        self.masks: dict[int, RLE] = {}
        self._scores: dict[int, float] = {}

    def add(self, frame: int, mask: RLE, score: float) -> None:
        """Adds a frame; nothing happens when the mask is empty.

        Args:
            frame: Its number.
            mask: RLE at the size of the video.
            score: Score in this frame.
        """
        outlines = mask_outlines(mask)
        if outlines:
            self.shapes[frame] = outlines
            self.masks[frame] = mask
            self._scores[frame] = score

    def entry(self, name: str, colour: str) -> dict[str, Any]:
        """What the page is told.

        Args:
            name: Of the class.
            colour: As `#rrggbb`.
        """
        return dict(
            number=self.number,
            name=name,
            colour=colour,
            score=None if self.score is None else round(self.score, 4),
            shapes=self.shapes,
            scores={frame: round(score, 3) for frame, score in self._scores.items()},
            match=None,
        )


def mask_outlines(mask: RLE) -> list[list[int]]:
    """Traces the parts of a mask and their holes.

    Args:
        mask: RLE.

    Returns:
        One list x, y, x, y, ... per outline, in pixels. Filled by the even-odd rule they give the
        mask less half a pixel at its border.
    """
    x, y, width, height = mask_utils.toBbox(mask).astype(int).tolist()
    if width == 0 or height == 0:
        return []
    pixels = np.ascontiguousarray(mask_utils.decode(mask)[y : y + height, x : x + width])
    outlines, _ = cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_L1, offset=(x, y))
    return [outline.reshape(-1).tolist() for outline in outlines]


def volume_iou(first: PageTrack, second: PageTrack) -> float:
    """Overlap of two tracks over all frames: pixels of both over pixels of either, in 0..1."""
    both = total = 0
    for frame in first.masks.keys() | second.masks.keys():
        masks = [track.masks[frame] for track in (first, second) if frame in track.masks]
        total += sum(int(mask_utils.area(mask)) for mask in masks)
        if len(masks) == 2:
            both += int(mask_utils.area(mask_utils.merge(masks, intersect=True)))
    return both / (total - both) if total else 0.0


def match_tracks(
    tracks: Sequence[PageTrack], truth: Sequence[PageTrack]
) -> list[tuple[int, int, float]]:
    """Finds out which track shows which object of the ground truth, whatever its class.

    Args:
        tracks: N tracks.
        truth: M objects.

    Returns:
        (position of the track, position of the object, overlap), each position once at most, such
        that the sum of overlaps is the largest possible.
    """
    overlap = np.array([[volume_iou(a, b) for b in truth] for a in tracks])
    rows, columns = linear_sum_assignment(-overlap.reshape(len(tracks), len(truth)))
    return [
        (int(row), int(column), round(float(overlap[row, column]), 4))
        for row, column in zip(rows, columns)
        if overlap[row, column] >= _MIN_OVERLAP
    ]
