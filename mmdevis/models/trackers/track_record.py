"""What is remembered of a track for its result: numbers, and run-length masks if wanted."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from typing import NamedTuple

from mmdevis.structures import RLE, Track

CLASS_POLICIES = ('most_common', 'score_weighted', 'weighted')
SCORE_POLICIES = ('mean', 'median')


class KeptPrediction(NamedTuple):
    """The prediction kept for a track in one frame."""

    score: float
    label: int
    mask: RLE


class TrackRecord:
    """Running result of one track over its final frames.

    Args:
        track_id (int): Number of the track.
        class_policy (str): 'most_common' class over frames, or 'score_weighted' (or 'weighted'):
            the class with the largest sum of scores. The lowest class wins a tie.
        score_policy (str): 'mean' or 'median' of the frames' scores (the mean of the two middle
            ones for an even number).
        keep_segmentations (bool): Keep masks and scores per frame. Without, memory does not grow
            with the number of frames (one number per frame for the median).
    """

    def __init__(
        self, track_id: int, class_policy: str, score_policy: str, keep_segmentations: bool
    ) -> None:
        self.track_id = track_id
        self.last_seen = -1  # newest final frame
        self._keep = keep_segmentations
        self._weighted = class_policy != 'most_common'
        self._votes: dict[int, float] = defaultdict(float)
        self._total, self._count = 0.0, 0
        self._sorted: list[float] | None = [] if score_policy == 'median' else None
        self._segmentations: dict[int, RLE] = {}
        self._frame_scores: dict[int, float] = {}

    def add(self, frame: int, kept: KeptPrediction) -> None:
        """Take in the final prediction of a frame."""
        self._votes[kept.label] += kept.score if self._weighted else 1
        self._total += kept.score
        self._count += 1
        self.last_seen = frame
        if self._sorted is not None:
            insort(self._sorted, kept.score)
        if self._keep:
            self._segmentations[frame] = kept.mask
            self._frame_scores[frame] = kept.score

    @property
    def label(self) -> int:
        """Class of the track so far; needs at least one frame."""
        return min(self._votes, key=lambda label: (-self._votes[label], label))

    @property
    def score(self) -> float:
        """Score of the track so far, 0 before the first frame."""
        if not self._count:
            return 0.0
        if self._sorted is None:
            return self._total / self._count
        middle = self._count // 2
        return (self._sorted[middle] + self._sorted[(self._count - 1) // 2]) / 2

    def finish(self) -> Track:
        """The result."""
        return Track(self.track_id, self.label, self.score, self._segmentations, self._frame_scores)
