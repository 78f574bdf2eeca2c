"""Occlusion of an object in a frame, in the terms of OVIS but from exact areas.

The occlusion rate of an object is one minus its visible area over the area that it would cover
inside the frame if nothing were in front of it. OVIS has annotators estimate three levels: not,
slightly (up to half) and severely (more than half) occluded. How the levels of the frames make the
group of an object is the business of ``mmdevis.evaluation.functional.occlusion_score``.
"""

from __future__ import annotations

FRAME_LEVELS: tuple[str, ...] = ('no_occlusion', 'slight_occlusion', 'severe_occlusion')

# Up to here two outlines touch rather than one object hides another.
_NOTICEABLE = 0.02


def occlusion_rate(visible_area: int, full_area: int) -> float | None:
    """Share of the area of an object in the frame that something else hides.

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
    """Level of an object in one frame, one of ``FRAME_LEVELS``, from its rate in [0, 1]."""
    if rate <= _NOTICEABLE:
        return FRAME_LEVELS[0]
    return FRAME_LEVELS[1] if rate <= 0.5 else FRAME_LEVELS[2]
