"""Splits what a model loses of AP into kinds of errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from pycocotools import mask as mask_utils

from .oracle_fixes import FIXES
from .tables import text_table
from .tracking import evaluate_tracking, require_trackeval
from .video_tracks import FOUND_IOU, VideoTracks, split_by_video
from .ytvis_eval import average_precision
from .ytvis_format import check_ground_truth, check_results

_NAMES = ('AP', 'AP50')


def break_down_errors(gt: dict, results: Sequence[dict], *, score_thr: float = 0.3) -> dict:
    """Splits what results lose of AP and AP50 into kinds of errors.

    Every kind is judged by an oracle: how much better would the score be if the ground truth
    corrected this error (`FIXES`) and nothing else (`alone`)? Errors hide one another, so these
    gains do not add up. `in_order` corrects one after the other and gives each what it adds; with
    `rest`, what no oracle corrects, its values sum to `1 - AP`.

    Args:
        gt: Ground truth in YouTube-VIS format.
        results: Predicted tracks in YouTube-VIS format.
        score_thr: Tracks with a smaller score are left out of `counts`, `switches` and
            `tracking`. AP ranks by score and takes all.

    Returns:
        Dict with

        - `AP`, `AP50`: the score itself
        - `alone`, `in_order`: kind of error to gain of `AP` and `AP50`
        - `views`: `AP` and `AP50` of other questions about the same results: `class-agnostic`
          (one class; of tracks with the same masks the best), `single frames` (every frame is a
          video, so that identity plays no role)
        - `counts`: number of tracks that are correct or have an error, see `kind_of_track`; of
          `objects`, and of those `missed objects` that no track is about
        - `switches`: how often the track that shows an object changes
        - `tracking`: HOTA, IDSW, ... as from `evaluate_tracking`, or None without TrackEval

    Raises:
        VISFormatError: Ground truth or results are not in the format.
    """
    gt = check_ground_truth(gt)
    results = check_results(results, gt)

    def fixed(tracks: Sequence[dict], fix: Callable[[VideoTracks], list[dict]]) -> list[dict]:
        return [t for video in split_by_video(gt, tracks).values() for t in fix(video)]

    score = average_precision(gt, results)
    videos = split_by_video(gt, results)
    alone = {
        kind: _difference(
            average_precision(gt, [t for v in videos.values() for t in fix(v)]), score
        )
        for kind, fix in FIXES.items()
    }
    in_order, tracks, before = {}, results, score
    for kind, fix in FIXES.items():
        tracks = fixed(tracks, fix)
        after = average_precision(gt, tracks)
        in_order[kind] = _difference(after, before)
        before = after
    in_order['rest'] = {name: 1.0 - before[name] for name in _NAMES}

    kept = [t for t in results if t['score'] >= score_thr]
    shown = split_by_video(gt, kept)
    try:
        require_trackeval()
        tracking = evaluate_tracking(gt, results, score_thr=score_thr)
    except ImportError:
        tracking = None
    return {
        **score,
        'alone': alone,
        'in_order': in_order,
        'views': {
            'class-agnostic': average_precision(*_one_class(gt, results)),
            'single frames': average_precision(*_single_frames(gt, results)),
        },
        'counts': _count(shown.values()),
        'switches': sum(video.switches() for video in shown.values()),
        'tracking': tracking,
    }


def _difference(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in _NAMES}


def kind_of_track(video: VideoTracks, d: int) -> str:
    """What is wrong with one predicted track, in one word.

    Args:
        video: The tracks of its video.
        d: Its number in `video.dts`.

    Returns:
        'correct', 'false positives' (about no object), 'classification' (of another class than its
        object), 'duplicates' (a better track has the object), 'identity' (its masks are right but
        belong to several objects, or to one that other tracks share), 'missed' (its masks are right
        but too few), 'mask' (its boxes are right) or 'localisation'.
    """
    g = int(video.owner[d])
    if g < 0:
        return 'false positives'
    if not video.same_class[d, g]:
        return 'classification'
    if video.found_by_better(d):
        return 'duplicates'
    if video.ious[d, g] >= FOUND_IOU:
        return 'correct'
    visible = video.dt_visible[:, d]
    own = video.claims[visible, d]
    if (own >= 0).mean() >= 0.5:
        shared = ((video.claims == g).any(1) & (video.claims[:, d] != g)).any()
        return 'identity' if shared or len(set(own[own >= 0])) > 1 else 'missed'
    both = visible & video.gt_visible[:, g]
    return 'mask' if video.box_ious[both, d, g].mean() >= FOUND_IOU else 'localisation'


def _count(videos: Sequence[VideoTracks]) -> dict[str, int]:
    counts = dict.fromkeys(('correct', *FIXES), 0)
    counts.update({'objects': 0, 'missed objects': 0})
    for video in videos:
        for d in range(len(video.dts)):
            counts[kind_of_track(video, d)] += 1
        counts['objects'] += len(video.gts)
        counts['missed objects'] += sum(g not in video.owner for g in range(len(video.gts)))
    return counts


def _one_class(gt: dict, results: Sequence[dict]) -> tuple[dict, list[dict]]:
    """Everything of one class; of predictions with the same masks only the best."""
    best: dict[tuple, dict] = {}
    for t in sorted(results, key=lambda t: -t['score']):
        key = (t['video_id'], json.dumps(t['segmentations'], default=str))
        best.setdefault(key, {**t, 'category_id': 1})
    annotations = [{**a, 'category_id': 1} for a in gt['annotations']]
    categories = [{'id': 1, 'name': 'object'}]
    return {**gt, 'categories': categories, 'annotations': annotations}, list(best.values())


def _single_frames(gt: dict, results: Sequence[dict]) -> tuple[dict, list[dict]]:
    """Every frame becomes a video of its own."""
    tracks = [*gt['annotations'], *results]
    lengths = {t['video_id']: len(t['segmentations']) for t in tracks}
    videos = [
        {**video, 'id': (video['id'], frame)}
        for video in gt['videos']
        for frame in range(lengths.get(video['id'], 0))
    ]
    # The evaluator sorts ids and looks them up, so they have to be numbers.
    numbers = {video['id']: number for number, video in enumerate(videos, start=1)}

    def cut(track: dict) -> list[dict]:
        return [
            {
                **track,
                'video_id': numbers[track['video_id'], frame],
                'segmentations': [mask],
                'areas': [int(mask_utils.area(mask))],
            }
            for frame, mask in enumerate(track['segmentations'])
            if mask
        ]

    pieces = [piece for annotation in gt['annotations'] for piece in cut(annotation)]
    frames = {
        'videos': [{**video, 'id': numbers[video['id']], 'length': 1} for video in videos],
        'categories': gt['categories'],
        'annotations': [{**piece, 'id': number} for number, piece in enumerate(pieces, start=1)],
    }
    return frames, [piece for result in results for piece in cut(result)]


def breakdown_table(breakdown: dict) -> str:
    """Text of what `break_down_errors` returned.

    Args:
        breakdown: The dict.

    Returns:
        The lines of its tables.
    """
    kinds = list(breakdown['in_order'])
    counts = breakdown['counts']
    rows = [
        (
            kind,
            *(f'{breakdown["alone"][kind][n]:.3f}' if kind in FIXES else '' for n in _NAMES),
            *(f'{breakdown["in_order"][kind][n]:.3f}' for n in _NAMES),
            str(counts.get(kind, '')),
        )
        for kind in kinds
    ]
    header = ('error', 'AP alone', 'AP50 alone', 'AP in order', 'AP50 in order', 'tracks')
    views = {'as it is': breakdown, **breakdown['views']}
    lines = [
        text_table(
            ('', *_NAMES), [(k, *(f'{v[n]:.3f}' for n in _NAMES)) for k, v in views.items()]
        ),
        '',
        text_table(header, rows),
        '',
        f'{counts["correct"]} tracks correct; {counts["missed objects"]} of {counts["objects"]} '
        f'objects missed altogether; {breakdown["switches"]} changes of the track of an object',
    ]
    if breakdown['tracking']:
        values = (f'{n} {v:.3f}' for n, v in breakdown['tracking'].items() if n != 'IDSW')
        lines.append(f'{", ".join(values)}, {breakdown["tracking"]["IDSW"]:.0f} identity switches')
    return '\n'.join(lines)
