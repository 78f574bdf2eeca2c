"""The videos in which results are worst, and what went wrong in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mmdevis.evaluation.functional import (
    VideoTracks,
    check_ground_truth,
    check_results,
    kind_of_track,
    split_by_video,
)
from mmdevis.evaluation.functional.ytvis_eval import average_precision

# Of one track, and of several.
_PHRASES = {
    'classification': ('of a wrong class', 'of a wrong class'),
    'identity': ('that mixes or shares identities', 'that mix or share identities'),
    'localisation': ('in a wrong place', 'in a wrong place'),
    'mask': ('with a bad outline', 'with a bad outline'),
    'missed': ('that misses most frames', 'that miss most frames'),
    'false positives': ('about no object', 'about no object'),
    'duplicates': ('that repeats another', 'that repeat another'),
}


@dataclass(frozen=True)
class Failure:
    """One video.

    Attributes:
        video: Entry of `videos` of the ground truth.
        tracks: Its tracks; predictions below the score threshold are left out.
        ap: AP of this video alone, over the classes in it.
        reason: What went wrong, in one line.
    """

    video: dict
    tracks: VideoTracks
    ap: float
    reason: str


def describe(tracks: VideoTracks) -> str:
    """One line on what is wrong with the tracks of a video."""
    kinds = Counter(kind_of_track(tracks, d) for d in range(len(tracks.dts)))
    parts = []
    missed = sum(g not in tracks.owner for g in range(len(tracks.gts)))
    if missed:
        parts.append(f'{missed} of {len(tracks.gts)} objects missed')
    for kind, count in kinds.most_common():
        if kind in _PHRASES:
            several = count > 1
            parts.append(f'{count} track{"s" * several} {_PHRASES[kind][several]}')
    switches = tracks.switches()
    if switches:
        parts.append(f'{switches} change{"s" * (switches > 1)} of identity')
    return ', '.join(parts) or 'only low scores or imprecise masks'


def worst_videos(
    gt: dict, results: Sequence[dict], count: int = 10, *, score_thr: float = 0.3
) -> list[Failure]:
    """The videos of lowest AP, worst first; of equal ones those with more objects.

    Args:
        gt: Ground truth in YouTube-VIS format.
        results: Predicted tracks in YouTube-VIS format.
        count: How many at most; videos without objects, or without errors, are left out.
        score_thr: Tracks with a smaller score are neither drawn nor described; AP takes all.

    Raises:
        VISFormatError: Ground truth or results are not in the format.
    """
    gt = check_ground_truth(gt)
    results = check_results(results, gt)
    shown = split_by_video(gt, [r for r in results if r['score'] >= score_thr])
    failures = []
    for video in gt['videos']:
        own = {
            **gt,
            'videos': [video],
            'annotations': [a for a in gt['annotations'] if a['video_id'] == video['id']],
        }
        ap = average_precision(own, [r for r in results if r['video_id'] == video['id']])['AP']
        if 0 <= ap < 1 - 1e-9:
            tracks = shown[video['id']]
            failures.append(Failure(video, tracks, ap, describe(tracks)))
    return sorted(failures, key=lambda f: (f.ap, -len(f.tracks.gts)))[:count]
