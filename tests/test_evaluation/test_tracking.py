"""HOTA, CLEAR and identity metrics through TrackEval."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from mmdevis.evaluation import VISMetric
from mmdevis.evaluation.functional import evaluate_tracking

needs_trackeval = pytest.mark.skipif(
    importlib.util.find_spec('trackeval') is None, reason='optional package trackeval not installed'
)


@pytest.fixture
def two_objects(vis):
    left, right = vis.rle(vis.box_mask(2, 2, 8, 8)), vis.rle(vis.box_mask(2, 20, 8, 8))
    return [[left] * 8, [right] * 8]


def as_set(vis, tracks):
    gt = {
        'videos': [{'id': 1, 'height': vis.size[0], 'width': vis.size[1], 'length': 8}],
        'categories': [{'id': 1, 'name': 'cat'}],
        'annotations': [
            {'id': i, 'video_id': 1, 'category_id': 1, 'segmentations': t}
            for i, t in enumerate(tracks)
        ],
    }
    return gt


def as_results(tracks, scores):
    return [
        {'video_id': 1, 'category_id': 1, 'score': s, 'segmentations': t}
        for t, s in zip(tracks, scores)
    ]


def test_absent_package_is_named_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, 'trackeval', None)
    with pytest.raises(ImportError, match='pip install'):
        VISMetric(tracking_score_thr=0.3)


@needs_trackeval
def test_perfect_tracks(vis, two_objects):
    gt = as_set(vis, two_objects)
    metrics = evaluate_tracking(gt, as_results(two_objects, [0.9, 0.8]))
    assert [metrics[k] for k in ('HOTA', 'AssA', 'MOTA', 'IDF1')] == pytest.approx([1] * 4)
    assert metrics['IDSW'] == 0


@needs_trackeval
def test_identity_swap(vis, two_objects):
    left, right = two_objects
    swap = [left[:6] + right[6:], right[:6] + left[6:]]
    metrics = evaluate_tracking(as_set(vis, two_objects), as_results(swap, [0.9, 0.8]))
    assert metrics['DetA'] == pytest.approx(1)  # detection is perfect
    assert metrics['IDSW'] == 2 and metrics['MOTA'] == pytest.approx(1 - 2 / 16)
    # Of each object 6 of 8 frames go to one track: 6 / (8 + 8 - 6), 2 / (8 + 8 - 2).
    assert metrics['AssA'] == pytest.approx(0.75 * 6 / 10 + 0.25 * 2 / 14)
    assert metrics['IDF1'] == pytest.approx(12 / 16)


@needs_trackeval
def test_weak_tracks_are_left_out_and_empty_sets_are_minus_one(vis, two_objects):
    gt = as_set(vis, two_objects)
    weak = as_results([*two_objects, two_objects[0]], [0.9, 0.8, 0.1])
    assert evaluate_tracking(gt, weak)['MOTA'] == pytest.approx(1)
    assert evaluate_tracking(gt, weak, score_thr=0.0)['MOTA'] == pytest.approx(0.5)
    assert evaluate_tracking(gt, [])['HOTA'] == 0
    assert set(evaluate_tracking(as_set(vis, []), []).values()) == {-1}
