import pytest

from mmdevis.models.trackers.track_record import KeptPrediction, TrackRecord

RLE = {'size': [1, 1], 'counts': b'1'}


def record(predictions, class_policy='most_common', score_policy='mean', keep=True):
    result = TrackRecord(7, class_policy, score_policy, keep)
    for frame, (score, label) in enumerate(predictions):
        result.add(frame, KeptPrediction(score, label, RLE))
    return result


@pytest.mark.parametrize(
    'policy, expected', [('most_common', 3), ('score_weighted', 1), ('weighted', 1)]
)
def test_class_policies(policy, expected):
    assert record([(0.2, 3), (0.9, 1), (0.3, 3)], policy).label == expected


@pytest.mark.parametrize('policy', ['most_common', 'score_weighted'])
def test_lowest_class_wins_a_tie(policy):
    assert record([(0.5, 4), (0.5, 2), (0.5, 2), (0.5, 4)], policy).label == 2


@pytest.mark.parametrize(
    'policy, scores, expected',
    [
        ('mean', [0.1, 0.2, 0.9], 0.4),
        ('median', [0.1, 0.9, 0.2], 0.2),
        ('median', [0.8, 0.1, 0.9, 0.2], 0.5),
        ('median', [0.3], 0.3),
    ],
)
def test_score_policies(policy, scores, expected):
    assert record([(s, 0) for s in scores], score_policy=policy).score == pytest.approx(expected)


def test_finished_track():
    track = record([(0.5, 4), (0.7, 4)]).finish()
    assert (track.track_id, track.label) == (7, 4)
    assert track.segmentations == {0: RLE, 1: RLE} and track.frame_scores == {0: 0.5, 1: 0.7}


def test_segmentations_are_not_kept_when_not_wanted():
    track = record([(0.5, 4), (0.7, 4)], keep=False).finish()
    assert track.segmentations == {} and track.frame_scores == {}
    assert track.score == pytest.approx(0.6)
