"""Every fault of ground truth and results is named."""

from __future__ import annotations

import copy

import pytest

from mmdevis.evaluation.functional import VISFormatError, evaluate_ytvis


@pytest.fixture
def data(vis):
    mask = vis.rle(vis.box_mask(2, 2, 8, 8))
    gt = {
        'videos': [{'id': 7, 'height': vis.size[0], 'width': vis.size[1], 'length': 2}],
        'categories': [{'id': 3, 'name': 'cat'}],
        'annotations': [{'id': 1, 'video_id': 7, 'category_id': 3, 'segmentations': [mask, None]}],
    }
    results = [{'video_id': 7, 'category_id': 3, 'score': 0.5, 'segmentations': [mask, None]}]
    return gt, results


def test_valid_data_passes(data):
    assert evaluate_ytvis(*data)['AP'] == pytest.approx(1)


@pytest.mark.parametrize('key', ['videos', 'categories', 'annotations'])
@pytest.mark.parametrize('state', ['missing', 'null'])
def test_ground_truth_without_a_part(data, key, state):
    gt, results = data
    gt.pop(key)
    if state == 'null':
        gt[key] = None
    with pytest.raises(VISFormatError, match=f"'{key}' is {state}"):
        evaluate_ytvis(gt, results)


def test_null_annotations_say_what_to_do(data):
    with pytest.raises(VISFormatError, match='upload the submission file'):
        evaluate_ytvis(data[0] | {'annotations': None}, data[1])


def change(entry: dict, key: str, value) -> None:
    if value is KeyError:
        del entry[key]
    else:
        entry[key] = value


WRONG_SIZE = {'size': [10, 10], 'counts': 'o15P1'}


@pytest.mark.parametrize(
    'key, value, message',
    [
        ('video_id', KeyError, r"results\[0\] has no key 'video_id'"),
        ('category_id', KeyError, r"results\[0\] has no key 'category_id'"),
        ('score', KeyError, r"results\[0\] has no key 'score'"),
        ('segmentations', KeyError, r"results\[0\] has no key 'segmentations'"),
        ('video_id', 8, r'results\[0\]: video_id 8 is not in the ground truth \(7\)'),
        ('category_id', 4, r'results\[0\]: category_id 4 is not in the ground truth \(3\)'),
        ('score', float('nan'), r'results\[0\]: score nan is not a finite number'),
        ('score', 'high', r"results\[0\]: score 'high' is not a finite number"),
        ('segmentations', [None], r'has 1 entries but video 7 has 2 frames'),
        ('segmentations', {}, r"'segmentations' is a dict"),
        ('segmentations', [None, WRONG_SIZE], r'frame 1: the mask has size \(10, 10\).*\(24, 32\)'),
        ('segmentations', [[[1, 2, 3, 4]], None], r'frame 0: expected a run-length mask'),
        ('segmentations', ['abc', None], r'frame 0: expected a run-length mask'),
    ],
)
def test_faulty_result(data, key, value, message):
    gt, results = data
    change(results[0], key, value)
    with pytest.raises(VISFormatError, match=message):
        evaluate_ytvis(gt, results)


@pytest.mark.parametrize(
    'part, key, value, message',
    [
        ('videos', 'height', KeyError, r"videos\[0\] has no key 'height'"),
        ('categories', 'name', KeyError, r"categories\[0\] has no key 'name'"),
        ('annotations', 'id', KeyError, r"annotations\[0\] has no key 'id'"),
        ('annotations', 'video_id', 9, r"annotation 1: video_id 9 is not in 'videos'"),
        ('annotations', 'category_id', 9, r"annotation 1: category_id 9 is not in 'categories'"),
        (
            'annotations',
            'segmentations',
            [None] * 3,
            r'annotation 1: .*3 entries but video 7 has 2',
        ),
        ('annotations', 'segmentations', [WRONG_SIZE, None], r'annotation 1, frame 0: the mask'),
    ],
)
def test_faulty_ground_truth(data, part, key, value, message):
    gt, results = data
    change(gt[part][0], key, value)
    with pytest.raises(VISFormatError, match=message):
        evaluate_ytvis(gt, results)


@pytest.mark.parametrize('part', ['videos', 'categories', 'annotations'])
def test_duplicate_ids(data, part):
    gt, results = data
    gt[part].append(copy.deepcopy(gt[part][0]))
    with pytest.raises(VISFormatError, match=f"twice in '{part}'"):
        evaluate_ytvis(gt, results)


def test_swapped_files_are_recognised(data):
    gt, results = data
    with pytest.raises(VISFormatError, match='is this a results file'):
        evaluate_ytvis(results, gt)
    with pytest.raises(VISFormatError, match='is this an annotation file'):
        evaluate_ytvis(gt, gt)
    with pytest.raises(VISFormatError, match=r'results\[0\] is a str'):
        evaluate_ytvis(gt, ['abc'])
