"""What the tracker gives: frames that became final, and finished tracks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from .rle import RLE, decode_masks, rle_to_bboxes


@dataclass
class FrameTracks:
    """All tracks in one frame, final: no later clip changes them.

    Masks may be empty (no pixel above the threshold) and may be shared between tracks: treat them
    as read-only.

    Args:
        frame_index (int): Number of the frame in the video.
        track_ids (Tensor): (N,) long.
        labels (Tensor): (N,) long, 0-based class predicted in this frame.
        scores (Tensor): (N,) float, score in this frame.
        masks (list[RLE]): N run-length masks (``counts`` are bytes).
        track_labels (Tensor): (N,) long, class of the whole track up to this frame.
        track_scores (Tensor): (N,) float, score of the whole track up to this frame.
    """

    frame_index: int
    track_ids: Tensor
    labels: Tensor
    scores: Tensor
    masks: list[RLE]
    track_labels: Tensor | None = None
    track_scores: Tensor | None = None

    def __len__(self) -> int:
        return len(self.track_ids)

    @property
    def bboxes(self) -> Tensor:
        """(N, 4) float, tight boxes (x1, y1, x2, y2) of the masks in pixels."""
        return rle_to_bboxes(self.masks)

    @property
    def mask_arrays(self) -> np.ndarray:
        """(N, H, W) bool, the masks decoded; (0, 0, 0) without a track."""
        return decode_masks(self.masks)


@dataclass
class Track:
    """A finished track.

    Args:
        track_id (int): Number of the track, counted from 0 in order of birth.
        label (int): 0-based class of the track.
        score (float): Score of the track.
        segmentations (dict[int, RLE]): Mask per frame number; frames without the object are
            missing. Empty when the tracker does not keep segmentations.
        frame_scores (dict[int, float]): Score per frame number, same frames.
    """

    track_id: int
    label: int
    score: float
    segmentations: dict[int, RLE] = field(default_factory=dict)
    frame_scores: dict[int, float] = field(default_factory=dict)
