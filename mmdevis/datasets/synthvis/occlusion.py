"""Occlusion of objects, in the terms of OVIS but from exact areas instead of an annotator's estimate.

Per frame, the occlusion rate of an object is one minus its visible area over the area it would cover inside
the frame if nothing were in front. As in OVIS a frame counts as not, slightly (up to half) or severely (more
than half) occluded, worth 0, 0.25 and 0.75; the score of an object is the mean over the more occluded half of
its frames, and it belongs to one of three groups: slight (score up to 0.25), moderate (up to 0.5), heavy.

One difference: frames in which an object is in the frame but fully hidden have no mask and OVIS leaves them
out; here they are known, and count as severe.
"""

from __future__ import annotations

from collections.abc import Sequence

FRAME_LEVELS: tuple[str, ...] = ('no_occlusion', 'slight_occlusion', 'severe_occlusion')
OBJECT_LEVELS: tuple[str, ...] = ('slight', 'moderate', 'heavy')

_FRAME_SCORES = dict(zip(FRAME_LEVELS, (0.0, 0.25, 0.75)))
# Less than this is the overlap of two outlines rather than an occlusion.
_NOTICEABLE = 0.02


def occlusion_rate(visible_area: int, full_area: int) -> float | None:
    """Share of an object's area in the frame that something else hides.

    Args:
        visible_area: Visible pixels.
        full_area: Pixels inside the frame as if nothing were in front.

    Returns:
        Rate in [0, 1], or None if the object is outside the frame.

    Raises:
        ValueError: If more is visible than there is.
    """
    if visible_area > full_area:
        raise ValueError(f'visible area {visible_area} is larger than the full area {full_area}')
    return None if full_area == 0 else 1 - visible_area / full_area


def frame_level(rate: float) -> str:
    """Occlusion level of an object in one frame, one of ``FRAME_LEVELS``, from its rate in [0, 1]."""
    if rate <= _NOTICEABLE:
        return FRAME_LEVELS[0]
    return FRAME_LEVELS[1] if rate <= 0.5 else FRAME_LEVELS[2]


def object_score(rates: Sequence[float | None]) -> float:
    """Occlusion score of an object over its video.

    Args:
        rates: Its rate in every frame, None where it is outside.

    Returns:
        Score in [0, 0.75]; 0 if it is never in the frame.
    """
    scores = sorted((_FRAME_SCORES[frame_level(r)] for r in rates if r is not None), reverse=True)
    top = scores[: (len(scores) + 1) // 2]
    return sum(top) / len(top) if top else 0.0


def object_level(score: float) -> str:
    """Group of an object, one of ``OBJECT_LEVELS``, from its score in [0, 0.75]."""
    if score <= 0.25:
        return OBJECT_LEVELS[0]
    return OBJECT_LEVELS[1] if score <= 0.5 else OBJECT_LEVELS[2]
