import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from mmdevis.models.trackers import MultiCueClipTracker
from mmdevis.models.trackers.motion import MaskGeometry, MotionMemory
from mmdevis.models.trackers.observations import Observations
from mmdevis.structures import ClipPrediction

HEIGHT, WIDTH = 20, 60


def square(x, y=10, half=2):
    """A (H, W) mask of a square whose centroid is (x, y) pixels, for whole x and y."""
    mask = torch.zeros(HEIGHT, WIDTH)
    mask[y - half : y + half, x - half : x + half] = 1
    return mask


def clip(frames, objects):
    """Objects as ([x in each frame, None: no mask], score or [scores], label)."""
    nothing = torch.zeros(HEIGHT, WIDTH)
    scores = [s if isinstance(s, list) else [s] * len(frames) for _, s, _ in objects]
    return ClipPrediction(
        frame_indices=torch.tensor(list(frames)),
        scores=torch.tensor(scores).reshape(len(objects), len(frames)),
        labels=torch.tensor([label for _, _, label in objects], dtype=torch.long),
        masks=torch.stack(
            [torch.stack([nothing if x is None else square(x) for x in xs]) for xs, _, _ in objects]
        )
        if objects
        else torch.zeros(0, len(frames), HEIGHT, WIDTH),
        centers=torch.zeros(len(objects), len(frames), 2),
    )


def seen(*args):
    return Observations.from_clip(clip(*args))


class Memory(MotionMemory):
    """Measures what it is given."""

    def distance(self, track_ids, instances):
        return super().distance(track_ids, instances, MaskGeometry(instances))

    def untangled(self, instances, track_ids, margin):
        return super().untangled(instances, track_ids, margin, MaskGeometry(instances))

    def updated(self, instances, track_ids, kept):
        new = Memory(self.history)
        new._sights = super().updated(instances, track_ids, kept, MaskGeometry(instances))._sights
        return new


def test_geometry_of_a_selection():
    given_ = seen([2, 3], [([10, 20], 0.8, 0), ([None, 40], 0.5, 1)])
    part = given_.select_instances(torch.tensor([1])).select_frames([1])
    weights, positions, areas = MaskGeometry(given_).of(part)
    assert weights.item() == 0.5 and areas.item() == 16 and positions.tolist() == [[[40, 10]]]
    weights, _, areas = MaskGeometry(given_).of(given_)
    torch.testing.assert_close(weights, torch.tensor([[0.8, 0.8], [0.0, 0.5]]))
    assert areas[1, 0] == 0
    assert [x.shape[1] for x in MaskGeometry(given_).of(given_.select_frames([]))] == [0, 0, 0]


def test_distance_is_in_object_sizes():
    first = seen(range(4), [([10, 12, 14, 16], 0.8, 0)])
    memory = Memory(8).updated(first, [7], {7})
    # Where the line leads, and 8 pixels from there: two sizes of an object of 4 x 4.
    later = seen([6, 7], [([22, 24], 0.5, 0), ([30, 32], 0.5, 0)])
    torch.testing.assert_close(memory.distance([7], later), torch.tensor([[0.0, 2.0]]))


def test_unknown_tracks_and_instances_without_mask_are_at_no_distance():
    memory = Memory(8).updated(seen(range(2), [([10, 12], 0.8, 0)]), [0], {0})
    later = seen([2, 3], [([50, 50], 0.5, 0), ([None, None], 0.5, 0)])
    distance = memory.distance([0, 1], later)
    assert distance[0, 0] > 1
    assert not distance[0, 1] and not distance[1].any()


def test_only_the_newest_sights_count():
    memory = Memory(3)
    for start, xs in ((0, [40, 30]), (2, [20, 20]), (4, [20, 20])):
        memory = memory.updated(seen([start, start + 1], [(xs, 0.8, 0)]), [0], {0})
    assert memory.distance([0], seen([9], [([20], 0.5, 0)])) == 0


def test_frames_of_little_score_count_little():
    """A hidden object's mask jumps to its neighbour, at a score that says so."""
    xs = [10, 12, 14, 40]
    sure = Memory(8).updated(seen(range(4), [(xs, [0.8, 0.8, 0.8, 0.8], 0)]), [0], {0})
    unsure = Memory(8).updated(seen(range(4), [(xs, [0.8, 0.8, 0.8, 0.01], 0)]), [0], {0})
    later = seen([4], [([18], 0.5, 0)])
    assert unsure.distance([0], later) < 0.5 < 3 < sure.distance([0], later)


def test_of_two_sights_in_a_frame_the_better_is_kept():
    memory = Memory(8).updated(seen([0, 1], [([10, 10], [0.5, 0.9], 0)]), [0], {0})
    memory = memory.updated(seen([1, 2], [([50, 10], [0.8, 0.8], 0)]), [0], {0})
    assert memory.distance([0], seen([3], [([10], 0.5, 0)])) == pytest.approx(0, abs=1e-4)


def test_forgets_tracks_and_leaves_the_old_memory_alone():
    old = Memory(8).updated(seen([0], [([10], 0.5, 0)]), [0], {0})
    new = old.updated(seen([1], [([20], 0.5, 0)]), [1], {1})
    far = seen([2], [([50], 0.5, 0)])
    assert old.distance([0], far) > 1 and old.distance([1], far) == 0
    assert new.distance([1], far) > 1 and new.distance([0], far) == 0


@settings(max_examples=30, deadline=None)
@given(
    start=st.integers(5, 20),
    speed=st.integers(-1, 3),
    scores=st.lists(st.floats(0.05, 1), min_size=4, max_size=4),
    ahead=st.integers(4, 8),
)
def test_steady_motion_is_predicted_whatever_the_scores(start, speed, scores, ahead):
    xs = [start + speed * t for t in range(4)]
    memory = Memory(4).updated(seen(range(4), [(xs, scores, 0)]), [0], {0})
    later = seen([ahead], [([start + speed * ahead], 0.5, 0)])
    assert memory.distance([0], later) == pytest.approx(0, abs=1e-2)


def test_an_object_that_left_is_expected_at_the_border():
    memory = Memory(8).updated(seen(range(3), [([14, 9, 4], 0.8, 0)]), [0], {0})
    # Straight on it would be at -31 in frame 9.
    assert memory.distance([0], seen([9], [([4], 0.5, 0)])) == pytest.approx(1)


def test_confidence_is_the_sum_of_scores_in_the_remembered_frames():
    memory = Memory(4).updated(seen(range(2), [([10, 12], [0.4, 0.8], 0)]), [3], {3})
    torch.testing.assert_close(memory.confidence([3, 5]), torch.tensor([0.3, 0.0]))
    for start in (2, 4):
        memory = memory.updated(seen([start, start + 1], [([10, 10], 0.5, 0)]), [3], {3})
    assert memory.confidence([3]) == pytest.approx(0.5)


def track(clips, **kwargs):
    tracker = MultiCueClipTracker(**kwargs)
    starts = [int(item.frame_indices[0]) for item in clips]
    for item, next_start in zip(clips, [*starts[1:], None]):
        tracker.update(item, next_start)
    return tracker.flush()[1]


# An object that moves by 2 pixels a frame, hides in frames 4..7 and comes out where it should;
# another one of its class appears where it was last seen.
HIDDEN = [
    clip(range(0, 4), [([10, 12, 14, 16], 0.9, 0)]),
    clip(range(2, 6), [([14, 16, None, None], [0.9, 0.9, 0.0, 0.0], 0)]),
    clip(range(4, 8), []),
    clip(range(6, 10), []),
    clip(range(8, 12), [([26, 28, 30, 32], 0.9, 0), ([16] * 4, 0.8, 0)]),
]
REID = dict(reid_window=8, match_threshold=-0.5, min_frame_score=0.1)


def test_hidden_track_is_found_where_its_motion_leads():
    tracks = track(HIDDEN, motion_weight=0.5, reid_threshold=-0.6, **REID)
    assert [sorted(t.segmentations) for t in tracks] == [
        [0, 1, 2, 3, 8, 9, 10, 11],
        [8, 9, 10, 11],
    ]


def test_without_motion_the_last_sight_finds_nothing():
    tracks = track(HIDDEN, reid_threshold=-0.6, **REID)
    # It was last seen in a frame without a mask: whatever comes later is new.
    assert [sorted(t.segmentations)[0] for t in tracks] == [0, 8, 8]


# Two objects pass each other; the second clip says that they bounce off each other in frame 3.
CROSSING = (
    clip(range(0, 4), [([10, 16, 22, 28], 0.9, 0), ([46, 40, 34, 28], 0.8, 0)]),
    clip(range(2, 6), [([22, 28, 22, 16], 0.6, 0), ([34, 28, 34, 40], 0.7, 0)]),
)
PASSED = [10, 16, 22, 28, 34, 40]


def path(track):
    """Where the left edge of a track's mask is, frame by frame."""
    masks = [coco_mask.decode(track.segmentations[t]) for t in sorted(track.segmentations)]
    return [int(mask.any(0).argmax()) + 2 for mask in masks]


@pytest.mark.parametrize('order', [1, -1])
def test_look_alikes_that_a_clip_confuses_are_untangled(order):
    second = CROSSING[1]
    if order < 0:
        second = clip(range(2, 6), [([34, 28, 34, 40], 0.7, 0), ([22, 28, 22, 16], 0.6, 0)])
    tracks = track([CROSSING[0], second], motion_weight=0.5, untangle_margin=0.1)
    assert [path(t) for t in tracks] == [PASSED, [46, 40, 34, 28, 22, 16]]
    # What is exchanged is the whole prediction, with its score.
    assert [t.frame_scores[5] for t in tracks] == pytest.approx([0.7, 0.6])
    bounced = track([CROSSING[0], second])
    assert path(bounced[0])[-1] == 16


def test_objects_of_different_classes_are_not_exchanged():
    apart = [
        clip(
            [int(t) for t in item.frame_indices],
            [(xs, 0.9, label) for xs, label in zip(paths, (0, 1))],
        )
        for item, paths in zip(
            CROSSING,
            (([10, 16, 22, 28], [46, 40, 34, 28]), ([22, 28, 22, 16], [34, 28, 34, 40])),
        )
    ]
    tracks = track(apart, motion_weight=0.5, untangle_margin=0.1)
    assert [path(t)[-1] for t in tracks] == [16, 40]


def test_objects_side_by_side_stay_what_they_are():
    """Less than the margin is not worth an exchange."""
    clips = [
        clip(range(0, 4), [([20] * 4, 0.9, 0), ([23] * 4, 0.9, 0)]),
        clip(range(2, 6), [([20, 20, 22, 22], 0.9, 0), ([23, 23, 21, 21], 0.9, 0)]),
    ]
    for margin, last in ((0.1, [21, 22]), (1.0, [22, 21])):
        tracks = track(clips, motion_weight=0.5, untangle_margin=margin)
        assert [path(t)[-1] for t in tracks] == last


def test_an_exchange_must_serve_both():
    """A faint mask in the wrong place must not take a good one from the track it belongs to."""
    first = seen(range(0, 4), [([20] * 4, 0.9, 0), ([30] * 4, 0.1, 0)])
    memory = Memory(8).updated(first, [0, 1], {0, 1})
    # Exchanged, the distances would add up to 6 + 9 pixels instead of 1 + 16.
    given_ = seen([4], [([21], 0.9, 0), ([14], 0.1, 0)])
    assert torch.equal(memory.untangled(given_, [0, 1], 0.1).rows, given_.rows)


def test_a_sure_instance_continues_the_established_track():
    clips = [
        clip(range(0, 4), [([20] * 4, 0.9, 0), ([22] * 4, 0.2, 0)]),
        # Half-way between the two, and a little nearer to the faint one in score.
        clip(range(2, 6), [([21] * 4, 0.5, 0)]),
    ]
    last_frames = {
        weight: [max(t.segmentations) for t in track(clips, motion_weight=0.5, **weighted)]
        for weight, weighted in ((0, {}), (2, dict(confidence_weight=2.0)))
    }
    assert last_frames == {0: [3, 5], 2: [5, 3]}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(4, 56), min_size=4, max_size=4), min_size=1, max_size=4))
def test_untangling_only_exchanges(paths):
    """Nothing is lost or doubled: every prediction of a frame goes to one of the tracks."""
    first = seen(range(0, 4), [([xs[0]] * 4, 0.9, 0) for xs in paths])
    ids = list(range(len(paths)))
    memory = Memory(8).updated(first, ids, set(ids))
    given_ = seen(range(2, 6), [(xs, 0.5 + 0.1 * i, 0) for i, xs in enumerate(paths)])
    result = memory.untangled(given_, ids, 0.1)
    assert torch.equal(result.rows.sort(0).values, given_.rows.sort(0).values)
    torch.testing.assert_close(result.scores.sort(0).values, given_.scores.sort(0).values)
    torch.testing.assert_close(result.scores, 0.5 + 0.1 * result.rows)


def test_a_lost_track_does_not_take_what_a_living_one_continues_better():
    clips = [
        clip(range(0, 4), [([10, 12, 14, 16], 0.9, 0), ([40] * 4, 0.9, 0)]),
        clip(range(2, 6), [([14, 16, 18, 20], 0.9, 0)]),
        clip(range(4, 8), [([18, 20, 22, 24], 0.9, 0)]),
        clip(range(6, 10), [([22, 24, 26, 28], 0.9, 0), ([40] * 4, 0.9, 0)]),
    ]
    tracks = track(clips, motion_weight=0.5, reid_threshold=-0.6, **REID)
    assert [sorted(t.segmentations) for t in tracks] == [list(range(10)), [0, 1, 2, 3, 6, 7, 8, 9]]


def test_needs_two_frames_of_motion():
    with pytest.raises(ValueError, match='motion_history >= 2'):
        MultiCueClipTracker(motion_weight=1.0, motion_history=1)
