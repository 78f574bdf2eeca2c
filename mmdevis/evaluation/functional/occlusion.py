"""How strongly an object of the ground truth is occluded, as OVIS groups it.

Source: Qi et al., "Occluded Video Instance Segmentation: A Benchmark" (arXiv 2102.01558). OVIS
labels every object in every frame with no, slight or severe occlusion. Its evaluation server is not
public, so this is the definition used here, after the paper: the labels count 0, 0.25 and 0.75, an
object's score is the mean over the half of its frames with the strongest occlusion, and the groups
are slight [0, 0.25], moderate (0.25, 0.5] and heavy (0.5, 1]. Only frames in which something of the
object is visible count: OVIS does not annotate others, and per-frame annotation files cannot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

OCCLUSION_GROUPS = ('slight', 'moderate', 'heavy')
_LABEL_SCORES = {'no_occlusion': 0.0, 'slight_occlusion': 0.25, 'severe_occlusion': 0.75}
_GROUP_LIMITS = (0.25, 0.5)


def _frame_score(value: str | float) -> float:
    if isinstance(value, str):
        if value not in _LABEL_SCORES:
            raise ValueError(
                f'unknown occlusion label {value!r}; expected one of {", ".join(_LABEL_SCORES)}, '
                'or a number in 0..1'
            )
        return _LABEL_SCORES[value]
    if not 0 <= value <= 1:
        raise ValueError(f'occlusion {value!r} is not in 0..1')
    return float(value)


def occlusion_score(occlusion: Sequence[str | float | None] | str | float | None) -> float | None:
    """Occlusion score of one object.

    Args:
        occlusion: Per frame the OVIS label, or the hidden fraction in 0..1, or None where the
            object is absent; a single label or number stands for the whole track.

    Returns:
        Score in 0..1, or None when no frame says anything.

    Raises:
        ValueError: A label is unknown or a number is outside 0..1.
    """
    if occlusion is None:
        return None
    if isinstance(occlusion, (str, int, float)):
        return _frame_score(occlusion)
    scores = sorted((_frame_score(v) for v in occlusion if v is not None), reverse=True)
    if not scores:
        return None
    strongest = scores[: math.ceil(len(scores) / 2)]
    return sum(strongest) / len(strongest)


def occlusion_group(score: float) -> str:
    """Name of the group of an occlusion score.

    Args:
        score: In 0..1.

    Returns:
        'slight', 'moderate' or 'heavy'.
    """
    for name, limit in zip(OCCLUSION_GROUPS, _GROUP_LIMITS):
        if score <= limit:
            return name
    return OCCLUSION_GROUPS[-1]


def groups_of_annotations(annotations: Sequence[dict]) -> dict[str, set[int]]:
    """Sorts annotations by occlusion.

    Args:
        annotations: Ground truth annotations with `id`, `segmentations` and, where it is known,
            `occlusion`.

    Returns:
        Group name to ids of its annotations; empty when no annotation tells its occlusion.

    Raises:
        ValueError: An occlusion value cannot be read; names the annotation.
    """
    groups: dict[str, set[int]] = {name: set() for name in OCCLUSION_GROUPS}
    for annotation in annotations:
        occlusion = annotation.get('occlusion')
        if isinstance(occlusion, (list, tuple)):
            occlusion = [o for o, s in zip(occlusion, annotation['segmentations']) if s]
        try:
            score = occlusion_score(occlusion)
        except ValueError as error:
            raise ValueError(
                f'occlusion of an object of video {annotation["video_id"]!r}: {error}'
            ) from error
        if score is not None:
            groups[occlusion_group(score)].add(annotation['id'])
    return groups if any(groups.values()) else {}
