"""Scores equal MMDetection's evaluator and values worked out by hand."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.evaluation.functional import YTVIS, YTVISeval
from pycocotools import mask as mask_utils

from mmdevis.evaluation.functional import evaluate_ytvis, track_ious
from mmdevis.utils.numpy_compat import removed_aliases

REAL = Path(__file__).parents[3] / 'shared/data/ytvis_eval'
NAMES = ('AP', 'AP50', 'AP75', 'AP_s', 'AP_m', 'AP_l')
NAMES += ('AR1', 'AR10', 'AR100', 'AR_s', 'AR_m', 'AR_l')


def mmdet_scores(gt: dict, results: list[dict]) -> dict[str, float]:
    # That of OpenMMLab's MMDetection 3.3 needs names that numpy has removed.
    with contextlib.redirect_stdout(io.StringIO()), removed_aliases():
        truth = YTVIS(copy.deepcopy(gt))
        evaluation = YTVISeval(truth, truth.loadRes(copy.deepcopy(results)), 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(NAMES, evaluation.stats))


@pytest.mark.parametrize('seed', range(12))
def test_equals_mmdetection_on_random_sets(vis, seed):
    gt, results = vis.random_set(seed)
    expected = mmdet_scores(gt, results)
    actual = evaluate_ytvis(gt, results)
    assert {k: actual[k] for k in NAMES} == pytest.approx(expected, abs=1e-12)


def test_equals_mmdetection_on_large_objects(vis):
    """All three size groups are populated: thresholds are 128 and 256 pixels squared."""
    gt, results = vis.random_set(3, num_videos=2, num_frames=3, size=(400, 500))
    for scale, annotation in zip((10, 20, 40), gt['annotations'] * 3):
        masks = [vis.box_mask(0, 0, 9 * scale, 9 * scale, (400, 500))] * 3
        new = dict(annotation, id=100 + scale, segmentations=[vis.rle(m) for m in masks])
        new['areas'] = [int(m.sum()) for m in masks]
        gt['annotations'].append(new)
        results.append(
            {
                'video_id': new['video_id'],
                'category_id': new['category_id'],
                'score': 0.5,
                'segmentations': [vis.rle(m & (np.arange(500) > 9)) for m in masks],
            }
        )
    expected = mmdet_scores(gt, results)
    assert min(expected[k] for k in ('AP_s', 'AP_m', 'AP_l')) > -1
    actual = evaluate_ytvis(gt, results)
    assert {k: actual[k] for k in NAMES} == pytest.approx(expected, abs=1e-12)


@pytest.mark.skipif(not REAL.is_dir(), reason='needs ../shared/data/ytvis_eval, not there')
def test_real_video_gives_the_known_numbers():
    gt = json.loads((REAL / 'veval_sav_000208_gt.json').read_text())
    results = json.loads((REAL / 'veval_sav_000208_pred.json').read_text())
    metrics = evaluate_ytvis(gt, results)
    known = {'AP': 0.342, 'AP50': 0.566, 'AP75': 0.371, 'AR1': 0.182, 'AR10': 0.375}
    assert {k: round(metrics[k], 3) for k in known} == known


def one_class_set(vis, tracks: list[list], num_videos: int = 1) -> dict:
    num_frames = len(tracks[0])
    return {
        'videos': [
            {'id': v, 'height': vis.size[0], 'width': vis.size[1], 'length': num_frames}
            for v in range(1, num_videos + 1)
        ],
        'categories': [{'id': 1, 'name': 'cat'}, {'id': 2, 'name': 'dog'}],
        'annotations': [
            {'id': i, 'video_id': 1, 'category_id': 1, 'segmentations': track}
            for i, track in enumerate(tracks)
        ],
    }


def predictions(tracks: list[list], scores: list[float]) -> list[dict]:
    return [
        {'video_id': 1, 'category_id': 1, 'score': s, 'segmentations': t}
        for t, s in zip(tracks, scores)
    ]


@pytest.fixture
def two_objects(vis):
    left, right = vis.rle(vis.box_mask(2, 2, 8, 8)), vis.rle(vis.box_mask(2, 20, 8, 8))
    return [[left] * 8, [right] * 8]


def test_perfect_predictions_score_one(vis, two_objects):
    """Also with an annotation id of 0, which MMDetection's evaluator takes for "no match"."""
    gt = one_class_set(vis, two_objects)
    assert gt['annotations'][0]['id'] == 0
    metrics = evaluate_ytvis(gt, predictions(two_objects, [0.9, 0.8]))
    assert [metrics[k] for k in ('AP', 'AP50', 'AP75', 'AP_s', 'AR10')] == pytest.approx([1.0] * 5)
    assert metrics['AR1'] == 0.5  # one prediction per video cannot find two objects
    assert metrics['AP_m'] == metrics['AP_l'] == -1


@pytest.mark.parametrize(
    'swapped, expected',
    [
        (1, 0.6),  # IoU 7 / (16 - 7) = 0.78 passes .50 ... .75, 6 of 10 thresholds
        (2, 0.3),  # IoU 6 / (16 - 6) = 0.60 passes .50, .55, .60
        (3, 0.0),  # IoU 5 / (16 - 5) = 0.45
    ],
)
def test_identity_swap_costs_what_it_should(vis, two_objects, swapped, expected):
    left, right = two_objects
    cut = 8 - swapped
    swap = [left[:cut] + right[cut:], right[:cut] + left[cut:]]
    metrics = evaluate_ytvis(one_class_set(vis, two_objects), predictions(swap, [0.9, 0.8]))
    assert metrics['AP'] == pytest.approx(expected)


def test_false_positive_above_true_one_halves_precision(vis, two_objects):
    left, right = two_objects
    metrics = evaluate_ytvis(one_class_set(vis, [left]), predictions([right, left], [0.9, 0.8]))
    assert metrics['AP'] == pytest.approx(0.5)
    assert metrics['AR10'] == 1


def test_no_prediction_scores_zero(vis, two_objects):
    metrics = evaluate_ytvis(one_class_set(vis, two_objects), [])
    assert metrics['AP'] == metrics['AP50'] == metrics['AR10'] == metrics['AP_s'] == 0
    assert metrics['AP_l'] == -1


def test_no_object_gives_minus_one(vis, two_objects):
    gt = one_class_set(vis, two_objects) | {'annotations': []}
    assert evaluate_ytvis(gt, predictions(two_objects, [0.9, 0.8]))['AP'] == -1
    assert evaluate_ytvis(gt, [])['AP'] == -1


def test_video_without_objects_counts_its_false_positives(vis, two_objects):
    gt = one_class_set(vis, two_objects[:1], num_videos=2)
    results = predictions(two_objects[:1], [0.5])
    assert evaluate_ytvis(gt, results)['AP'] == pytest.approx(1)
    false = [dict(results[0], video_id=2, score=0.9)]
    assert evaluate_ytvis(gt, results + false)['AP'] == pytest.approx(0.5)


def test_class_without_objects_does_not_count(vis, two_objects):
    metrics = evaluate_ytvis(
        one_class_set(vis, two_objects),
        predictions(two_objects, [0.9, 0.8])
        + [dict(predictions(two_objects, [0.9])[0], category_id=2)],
        classwise=True,
    )
    assert metrics['AP'] == metrics['cat_precision'] == pytest.approx(1)
    assert metrics['dog_precision'] == -1


def test_classes_are_named_by_id_not_by_order(vis, two_objects):
    gt = one_class_set(vis, two_objects)
    gt['categories'].reverse()
    metrics = evaluate_ytvis(gt, predictions(two_objects, [0.9, 0.8]), classwise=True)
    assert (metrics['cat_precision'], metrics['dog_precision']) == pytest.approx((1, -1))


def test_occlusion_groups(vis, two_objects):
    left, right = two_objects
    gt = one_class_set(vis, [left, right])
    gt['annotations'][0]['occlusion'] = ['no_occlusion'] * 8
    gt['annotations'][1]['occlusion'] = ['severe_occlusion'] * 4 + ['no_occlusion'] * 4
    metrics = evaluate_ytvis(gt, predictions([left], [0.9]))
    # Precision 1 up to recall 0.5: 51 of the 101 recall points.
    assert metrics['AP'] == pytest.approx(51 / 101)
    by_group = [metrics[f'AP_{group}'] for group in ('slight', 'moderate', 'heavy')]
    assert by_group == pytest.approx([1, -1, 0])
    assert 'AP_heavy' not in evaluate_ytvis(one_class_set(vis, [left]), [])


def test_prediction_of_an_object_of_another_group_is_no_false_positive(vis, two_objects):
    left, right = two_objects
    gt = one_class_set(vis, [left, right])
    gt['annotations'][0]['occlusion'] = 0.1
    gt['annotations'][1]['occlusion'] = 0.9
    metrics = evaluate_ytvis(gt, predictions([right, left], [0.9, 0.5]))
    assert metrics['AP_slight'] == metrics['AP_heavy'] == pytest.approx(1)


def test_iou_thresholds(vis, two_objects):
    left, right = two_objects
    swap = [left[:6] + right[6:], right[:6] + left[6:]]  # IoU 0.6
    gt, results = one_class_set(vis, two_objects), predictions(swap, [0.9, 0.8])
    assert evaluate_ytvis(gt, results, [0.5])['AP'] == pytest.approx(1)
    strict = evaluate_ytvis(gt, results, [0.7, 0.75])
    assert (strict['AP'], strict['AP50'], strict['AP75']) == (0, -1, 0)
    for wrong in ([], [0.0], [50]):
        with pytest.raises(ValueError, match='iou_thrs'):
            evaluate_ytvis(gt, results, wrong)


def test_input_is_not_changed(vis):
    gt, results = vis.random_set(0)
    before = copy.deepcopy((gt, results))
    evaluate_ytvis(gt, results, classwise=True, mmdet_names=True)
    assert (gt, results) == before


def test_mask_encodings_are_equivalent(vis, two_objects):
    """Polygons and uncompressed RLE in ground truth, bytes and lists of counts in results."""
    gt = one_class_set(vis, two_objects)
    uncompressed, as_bytes = copy.deepcopy(two_objects)
    box = vis.box_mask(2, 2, 8, 8)
    flat = np.flatnonzero(np.diff(np.r_[0, box.T.ravel().astype(int), 0]))
    counts = np.diff(np.r_[0, flat, box.size]).tolist()
    uncompressed = [{'size': list(vis.size), 'counts': counts}] * 8
    as_bytes = [mask_utils.encode(np.asfortranarray(vis.box_mask(2, 20, 8, 8).astype('u1')))] * 8
    gt['annotations'][0]['segmentations'] = [[[2, 2, 10, 2, 10, 10, 2, 10]]] * 8
    metrics = evaluate_ytvis(gt, predictions([uncompressed, as_bytes], [0.9, 0.8]))
    assert metrics['AP'] == pytest.approx(1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_frames=st.integers(0, 4))
def test_track_ious_equal_overlaps_of_pixels(seed, num_frames):
    rng = np.random.default_rng(seed)
    num_dt, num_gt = rng.integers(0, 4, 2)
    masks = rng.random((num_dt + num_gt, num_frames, 13, 9)) < rng.random()
    present = rng.random(masks.shape[:2]) < 0.7
    masks &= present[:, :, None, None]
    rles = [
        [
            mask_utils.encode(np.asfortranarray(m.astype(np.uint8))) if p else None
            for m, p in zip(track, visible)
        ]
        for track, visible in zip(masks, present)
    ]
    flat = masks.reshape(num_dt + num_gt, num_frames * 13 * 9)
    dts, gts = flat[:num_dt], flat[num_dt:]
    inter = (dts[:, None] & gts[None]).sum(-1)
    union = (dts[:, None] | gts[None]).sum(-1)
    expected = inter / np.maximum(union, 1)
    assert np.array_equal(track_ious(rles[:num_dt], rles[num_dt:]), expected)
