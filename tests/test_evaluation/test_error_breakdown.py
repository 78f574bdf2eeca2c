"""Each kind of error is found, and only that one."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdevis.evaluation.functional import (
    break_down_errors,
    breakdown_table,
    check_ground_truth,
    check_results,
    evaluate_ytvis,
    kind_of_track,
    split_by_video,
)
from mmdevis.evaluation.functional.oracle_fixes import FIXES
from mmdevis.evaluation.functional.ytvis_eval import average_precision

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/error_breakdown.py'
NUM_FRAMES = 8
LEFT, RIGHT = (2, 2, 10, 10), (2, 20, 10, 10)  # top, left, height, width


@pytest.fixture
def scene(vis):
    """Two cats side by side in one video, and an owl in another; `track` draws a moving box."""

    def track(box, video=1, category=1, score=0.9, frames=range(NUM_FRAMES)):
        masks = [
            vis.rle(vis.box_mask(box[0] + t, *box[1:])) if t in frames else None
            for t in range(NUM_FRAMES)
        ]
        return {
            'video_id': video,
            'category_id': category,
            'score': score,
            'segmentations': masks,
        }

    tracks = [track(LEFT), track(RIGHT), track(LEFT, video=2, category=3)]
    gt = {
        'videos': [
            {'id': v, 'height': vis.size[0], 'width': vis.size[1], 'length': NUM_FRAMES}
            for v in (1, 2)
        ],
        'categories': [{'id': c, 'name': name} for c, name in enumerate(vis.classes, start=1)],
        'annotations': [{**t, 'id': i, 'iscrowd': 0} for i, t in enumerate(tracks, start=1)],
    }
    return gt, tracks, track


def switched(track):
    """Both cats found, but their identities change hands after three frames."""
    a, b = track(LEFT)['segmentations'], track(RIGHT)['segmentations']
    return [
        {**track(LEFT), 'segmentations': a[:3] + b[3:]},
        {**track(RIGHT), 'segmentations': b[:3] + a[3:]},
    ]


def fragments(track):
    return [track(LEFT, frames=range(4)), track(LEFT, frames=range(4, 8), score=0.8), track(RIGHT)]


CASES = {
    'classification': lambda track: [track(LEFT, category=2), track(RIGHT)],
    'identity': switched,
    'localisation': lambda track: [track((6, 7, 10, 10)), track(RIGHT)],
    'mask': lambda track: [track((3, 3, 10, 9)), track(RIGHT)],
    'missed': lambda track: [track(RIGHT)],
    'false positives': lambda track: [track(LEFT), track(RIGHT), track((0, 13, 2, 5), score=0.95)],
    'duplicates': lambda track: [track(LEFT), track(LEFT, score=0.9), track(RIGHT, score=0.5)],
}


def test_every_kind_has_a_case():
    assert set(CASES) == set(FIXES)


@pytest.mark.parametrize('kind', CASES)
def test_the_oracle_of_the_error_repairs_it(scene, kind):
    gt, tracks, track = scene
    found = break_down_errors(gt, [*CASES[kind](track), tracks[2]])
    lost = 1 - found['AP']
    assert lost > 0.01
    assert found['alone'][kind]['AP'] == pytest.approx(lost)
    assert found['in_order'][kind]['AP'] == pytest.approx(lost)
    for other in set(CASES) - {kind}:
        # What no track of its class is about is missed too, but that oracle comes later.
        if (kind, other) != ('classification', 'missed'):
            assert found['alone'][other]['AP'] < lost / 2, other
        assert found['in_order'][other]['AP'] == pytest.approx(0), other


@pytest.mark.parametrize('kind', [k for k in CASES if k not in ('missed', 'mask')])
def test_tracks_are_counted_by_kind(scene, kind):
    gt, tracks, track = scene
    counts = break_down_errors(gt, [*CASES[kind](track), tracks[2]])['counts']
    wrong = {k: n for k, n in counts.items() if k in FIXES and n}
    assert list(wrong) == [kind]


def test_one_track_for_two_identities(scene):
    gt, tracks, track = scene
    found = break_down_errors(gt, [*switched(track), tracks[2]])
    assert found['views']['single frames'] == {'AP': pytest.approx(1), 'AP50': pytest.approx(1)}
    assert found['switches'] == 2
    assert found['counts']['identity'] + found['counts']['correct'] == 3


def test_fragments_are_an_identity_error(scene):
    gt, tracks, track = scene
    found = break_down_errors(gt, [*fragments(track), tracks[2]])
    assert found['alone']['identity']['AP'] == pytest.approx(1 - found['AP'])
    assert found['switches'] == 1


def test_too_short_a_track_is_missed_in_part(scene):
    gt, tracks, track = scene
    results = [track(LEFT, frames=range(3)), tracks[1], tracks[2]]
    found = break_down_errors(gt, results)
    assert found['counts']['missed'] == 1
    assert found['alone']['missed']['AP'] == pytest.approx(1 - found['AP'])


@pytest.mark.parametrize(
    'box, kind',
    [
        ((3, 3, 10, 10), 'mask'),
        ((2, 2, 10, 4), 'localisation'),
        ((2, 12, 4, 4), 'false positives'),
    ],
)
def test_kind_of_a_track_by_its_masks(scene, vis, box, kind):
    gt, _, track = scene
    # The object is a frame around nothing: another box can be right where the mask is not.
    for t, mask in enumerate(gt['annotations'][0]['segmentations']):
        hollow = vis.box_mask(2 + t, 2, 10, 10)
        hollow[3 + t : 11 + t, 3:11] = False
        mask.update(vis.rle(hollow))
    checked = check_ground_truth(gt)
    video = split_by_video(checked, check_results([track(box)], checked))[1]
    assert kind_of_track(video, 0) == kind


def test_class_agnostic_counts_equal_masks_once(scene):
    gt, tracks, _ = scene
    # Each trajectory under all classes, as models with sigmoid scores give them.
    results = [{**t, 'category_id': c, 'score': 0.1 * c} for t in tracks for c in (1, 2, 3)]
    assert break_down_errors(gt, results)['views']['class-agnostic']['AP'] == pytest.approx(1)


# `vis` only holds functions.
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_parts_add_up_and_nothing_is_changed(vis, seed):
    gt, results = vis.random_set(seed, num_videos=2)
    before = json.dumps([gt, results])
    found = break_down_errors(gt, results)
    assert json.dumps([gt, results]) == before
    score = evaluate_ytvis(gt, results)
    for name in ('AP', 'AP50'):
        if score[name] < 0:
            continue
        assert found[name] == score[name]
        assert sum(part[name] for part in found['in_order'].values()) == pytest.approx(
            1 - score[name]
        )
    perfect = break_down_errors(
        gt, [{**a, 'score': 0.5} for a in gt['annotations'] if not a['iscrowd']]
    )
    assert all(abs(v) < 1e-9 for part in perfect['alone'].values() for v in part.values())
    assert found['counts']['objects'] == sum(not a['iscrowd'] for a in gt['annotations'])


def test_average_precision_is_that_of_the_evaluator(vis):
    gt, results = vis.random_set(5)
    checked = check_ground_truth(gt)
    expected = evaluate_ytvis(gt, results)
    assert average_precision(checked, check_results(results, checked)) == {
        name: expected[name] for name in ('AP', 'AP50')
    }


def test_command(scene, tmp_path, capsys):
    gt, tracks, _ = scene
    spec = importlib.util.spec_from_file_location('error_breakdown', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    (tmp_path / 'gt.json').write_text(json.dumps(gt))
    (tmp_path / 'results.json').write_text(json.dumps(tracks[:2]))
    args = [str(tmp_path / name) for name in ('results.json', 'gt.json')]
    out = tmp_path / 'new/breakdown.json'
    assert tool.main([*args, '--json', str(out)]) == 0
    printed = capsys.readouterr().out
    found = break_down_errors(gt, tracks[:2])
    assert breakdown_table(found) in printed
    assert json.loads(out.read_text())['alone'] == found['alone']
    (tmp_path / 'results.json').write_text('{')
    assert tool.main(args) == 2
    assert capsys.readouterr().err.startswith('error: ')
