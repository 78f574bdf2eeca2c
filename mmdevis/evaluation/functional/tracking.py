"""HOTA, CLEAR and identity metrics of video instance segmentation, by the TrackEval package."""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from pycocotools import mask as mask_utils

from .ytvis_format import check_ground_truth, check_results


def require_trackeval() -> ModuleType:
    """Imports TrackEval's metrics.

    Returns:
        The module `trackeval.metrics`.

    Raises:
        ImportError: TrackEval is not installed; says how to.
    """
    try:
        from trackeval import metrics
    except ImportError as error:
        raise ImportError(
            'HOTA, CLEAR and identity metrics need the package trackeval, which is not installed: '
            'pip install --no-deps "trackeval>=1.0" tabulate (its newest releases pin a numpy that '
            f'OpenCV may refuse, hence --no-deps). Import said: {error}'
        ) from error
    return metrics


def _sequence(gts: Sequence[dict], dts: Sequence[dict], num_frames: int) -> dict:
    """One video and class in the form that TrackEval's metrics take.

    Args:
        gts: G true tracks with `segmentations`, one RLE or None per frame.
        dts: D predicted tracks likewise.
        num_frames: Frames F of the video.

    Returns:
        TrackEval's dict: per frame ids of true and predicted objects that are visible, and the mask
        IoU between them.
    """

    def visible(tracks: Sequence[dict], frame: int) -> np.ndarray:
        masks = [track['segmentations'][frame] for track in tracks]
        ids = [i for i, mask in enumerate(masks) if mask and mask_utils.area(mask) > 0]
        return np.array(ids, dtype=int)

    gt_ids = [visible(gts, frame) for frame in range(num_frames)]
    dt_ids = [visible(dts, frame) for frame in range(num_frames)]
    similarity = []
    for frame in range(num_frames):
        gt_masks = [gts[i]['segmentations'][frame] for i in gt_ids[frame]]
        dt_masks = [dts[i]['segmentations'][frame] for i in dt_ids[frame]]
        if gt_masks and dt_masks:
            similarity.append(mask_utils.iou(gt_masks, dt_masks, [0] * len(dt_masks)))
        else:
            similarity.append(np.zeros((len(gt_masks), len(dt_masks))))
    # TrackEval wants ids without gaps, so tracks that are never visible must not have one.
    seen_gt = np.unique(np.concatenate([*gt_ids, np.zeros(0, int)]))
    seen_dt = np.unique(np.concatenate([*dt_ids, np.zeros(0, int)]))
    return {
        'num_timesteps': num_frames,
        'num_gt_ids': len(seen_gt),
        'num_tracker_ids': len(seen_dt),
        'num_gt_dets': sum(map(len, gt_ids)),
        'num_tracker_dets': sum(map(len, dt_ids)),
        'gt_ids': [np.searchsorted(seen_gt, ids) for ids in gt_ids],
        'tracker_ids': [np.searchsorted(seen_dt, ids) for ids in dt_ids],
        'similarity_scores': similarity,
    }


def evaluate_tracking(
    gt: dict, results: Sequence[dict], *, score_thr: float = 0.3
) -> dict[str, float]:
    """Scores results with TrackEval's HOTA, CLEAR and identity metrics.

    Each class is scored on its own, and classes with an object or a prediction are averaged, as
    TrackEval does for YouTube-VIS. Unlike AP these metrics do not look at scores, so tracks with a
    low score are left out first. Crowd annotations are left out too.

    Args:
        gt: Ground truth in YouTube-VIS format.
        results: Predicted tracks in YouTube-VIS format.
        score_thr: Tracks with a smaller score are left out.

    Returns:
        `HOTA`, `DetA`, `AssA` (means over TrackEval's localisation thresholds), `MOTA` (may be
        negative), `IDF1`, and `IDSW`, the number of identity switches over all classes. All are -1
        when there is neither an object nor a prediction.

    Raises:
        ImportError: TrackEval is not installed; says how to.
        VISFormatError: Ground truth or results are not in the format.
    """
    metrics = require_trackeval()
    gt = check_ground_truth(gt)
    results = [r for r in check_results(results, gt) if r['score'] >= score_thr]
    tracks: dict[tuple, tuple[list, list]] = defaultdict(lambda: ([], []))
    for annotation in gt['annotations']:
        if not annotation['iscrowd']:
            tracks[annotation['category_id'], annotation['video_id']][0].append(annotation)
    for result in results:
        tracks[result['category_id'], result['video_id']][1].append(result)

    if not tracks:
        return dict.fromkeys(('HOTA', 'DetA', 'AssA', 'MOTA', 'IDF1', 'IDSW'), -1.0)

    per_class: dict[str, dict] = {'hota': {}, 'clear': {}, 'identity': {}}
    with contextlib.redirect_stdout(io.StringIO()):
        quiet = {'PRINT_CONFIG': False}
        judges = {
            'hota': metrics.HOTA(),
            'clear': metrics.CLEAR(quiet),
            'identity': metrics.Identity(quiet),
        }
        by_class: dict = defaultdict(dict)
        for (category_id, video_id), (gts, dts) in tracks.items():
            num_frames = len((gts or dts)[0]['segmentations'])
            by_class[category_id][video_id] = _sequence(gts, dts, num_frames)
        for category_id, sequences in by_class.items():
            for name, judge in judges.items():
                per_class[name][category_id] = judge.combine_sequences(
                    {video_id: judge.eval_sequence(data) for video_id, data in sequences.items()}
                )
        combined = {
            name: judge.combine_classes_class_averaged(per_class[name], ignore_empty_classes=True)
            for name, judge in judges.items()
        }
    return {
        'HOTA': float(np.mean(combined['hota']['HOTA'])),
        'DetA': float(np.mean(combined['hota']['DetA'])),
        'AssA': float(np.mean(combined['hota']['AssA'])),
        'MOTA': float(combined['clear']['MOTA']),
        'IDF1': float(combined['identity']['IDF1']),
        'IDSW': float(sum(result['IDSW'] for result in per_class['clear'].values())),
    }
