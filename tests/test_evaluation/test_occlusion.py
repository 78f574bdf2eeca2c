"""Occlusion groups after OVIS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdevis.evaluation.functional import OCCLUSION_GROUPS, occlusion_group, occlusion_score
from mmdevis.evaluation.functional.occlusion import groups_of_annotations

NO, SLIGHT, SEVERE = 'no_occlusion', 'slight_occlusion', 'severe_occlusion'


@pytest.mark.parametrize(
    'occlusion, expected',
    [
        ([NO, NO, SLIGHT], 0.125),  # the stronger half of three frames is two
        ([NO, NO, SEVERE, SEVERE], 0.75),
        ([None, SLIGHT, None, SEVERE], 0.75),
        ([SLIGHT, SEVERE, SLIGHT], 0.5),
        ([0.0, 1.0], 1.0),
        (SLIGHT, 0.25),
        (0.4, 0.4),
        ([None, None], None),
        ([], None),
        (None, None),
    ],
)
def test_score(occlusion, expected):
    assert occlusion_score(occlusion) == expected


@pytest.mark.parametrize(
    'score, group',
    [(0, 'slight'), (0.25, 'slight'), (0.3, 'moderate'), (0.5, 'moderate'), (0.51, 'heavy')],
)
def test_group_limits(score, group):
    assert occlusion_group(score) == group


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8))
def test_score_stays_in_range_and_ignores_order(values):
    score = occlusion_score(values)
    assert score == pytest.approx(occlusion_score(values[::-1]))
    assert score is None or 0 <= score <= 1


def test_groups_take_visible_frames_only():
    annotations = [
        {'id': 1, 'segmentations': [{}, 'rle'], 'occlusion': [SEVERE, NO], 'video_id': 1},
        {'id': 2, 'segmentations': ['rle', 'rle'], 'occlusion': [SEVERE, NO], 'video_id': 1},
        {'id': 3, 'segmentations': ['rle', None], 'video_id': 1},
    ]
    groups = groups_of_annotations(annotations)
    assert groups == dict(zip(OCCLUSION_GROUPS, [{1}, set(), {2}]))
    assert groups_of_annotations(annotations[2:]) == {}


@pytest.mark.parametrize('value', ['hidden', 1.5, -0.1])
def test_unreadable_value_names_the_video(value):
    annotation = {'id': 1, 'video_id': 12, 'segmentations': ['rle'], 'occlusion': [value]}
    with pytest.raises(ValueError, match='video 12.*' + str(value)):
        groups_of_annotations([annotation])
