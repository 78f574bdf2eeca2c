import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import TASK_UTILS
from pycocotools import mask as coco_mask

from mmdevis.models.trackers import MultiCueClipTracker
from mmdevis.structures import ClipPrediction

SIZE = (12, 20)


def blob(x, y=6.0, radius=2.0):
    """A soft disc, (H, W) probabilities."""
    rows, columns = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float) for n in SIZE), indexing='ij'
    )
    return (2 * (radius - ((rows - y) ** 2 + (columns - x) ** 2).sqrt())).sigmoid()


def make_clip(start, objects, length=4, **kwargs):
    """A clip of objects given as (x at frame 0, speed, score, label)."""
    frames = range(start, start + length)
    num = len(objects)
    return ClipPrediction(
        frame_indices=torch.tensor(frames),
        scores=torch.tensor([[o[2]] * length for o in objects]).reshape(num, length),
        labels=torch.tensor([o[3] for o in objects], dtype=torch.long),
        masks=torch.stack([torch.stack([blob(o[0] + o[1] * f) for f in frames]) for o in objects])
        if num
        else torch.zeros(0, length, *SIZE),
        centers=torch.tensor(
            [[((o[0] + o[1] * f) / SIZE[1], 0.5) for f in frames] for o in objects]
        ).reshape(num, length, 2),
        **kwargs,
    )


def run(tracker, clips, stride=2, next_start=True):
    frames = []
    for clip in clips:
        start = int(clip.frame_indices[0])
        frames += tracker.update(clip, start + stride if next_start else None)
    rest, tracks = tracker.flush()
    return frames + rest, tracks


def as_set(tracks):
    """Tracks without their numbers."""
    return {
        (t.label, round(t.score, 6), tuple((f, m['counts']) for f, m in t.segmentations.items()))
        for t in tracks
    }


A, B, C = (2.0, 0.3, 0.9, 0), (10.0, -0.2, 0.5, 1), (17.0, 0.0, 0.7, 0)


def test_is_registered():
    tracker = TASK_UTILS.build({'type': 'MultiCueClipTracker', 'center_weight': 1.0})
    assert tracker.cost.center_weight == 1.0


def test_objects_keep_their_numbers_over_clips():
    clips = [make_clip(0, [A, B]), make_clip(2, [B, A]), make_clip(4, [A, B])]
    frames, tracks = run(MultiCueClipTracker(), clips)
    assert [t.track_id for t in tracks] == [0, 1] and [t.label for t in tracks] == [0, 1]
    assert [f.frame_index for f in frames] == list(range(8))
    for track, obj in zip(tracks, (A, B)):
        assert list(track.segmentations) == list(range(8))
        assert track.score == pytest.approx(obj[2])
        for frame, rle in track.segmentations.items():
            expected = blob(obj[0] + obj[1] * frame) > 0.5
            assert (torch.from_numpy(coco_mask.decode(rle)).bool() == expected).all()


def test_unmatched_instances_start_tracks_and_unmatched_tracks_end():
    clips = [make_clip(0, [A]), make_clip(2, [A, C]), make_clip(4, [C])]
    frames, tracks = run(MultiCueClipTracker(), clips)
    assert [list(t.segmentations) for t in tracks] == [list(range(6)), list(range(2, 8))]
    assert [f.track_ids.tolist() for f in frames] == [[0]] * 2 + [[0, 1]] * 4 + [[1]] * 2


def test_higher_score_is_kept_frame_by_frame_and_the_older_when_equal():
    first, second = make_clip(0, [A]), make_clip(2, [(3.0, 0.3, 0.9, 0)])
    first.scores = torch.tensor([[0.5, 0.5, 0.8, 0.4]])
    second.scores = torch.tensor([[0.8, 0.6, 0.6, 0.6]])
    _, (track,) = run(MultiCueClipTracker(), [first, second])
    expected = [0.5, 0.5, 0.8, 0.6, 0.6, 0.6]
    assert list(track.frame_scores.values()) == pytest.approx(expected)
    for frame, shift in enumerate([0, 0, 0, 1, 1, 1]):
        mask = torch.from_numpy(coco_mask.decode(track.segmentations[frame])).bool()
        assert (mask == (blob(2.0 + shift + 0.3 * frame) > 0.5)).all()


@pytest.mark.parametrize('cue', ['mask', 'class', 'score', 'center'])
def test_each_cue_alone_decides(cue):
    weights = {
        f'{name}_weight': float(name == cue) for name in ('mask', 'class', 'score', 'center')
    }
    clips = [make_clip(0, [A, B]), make_clip(2, [B, A])]
    frames, tracks = run(MultiCueClipTracker(**weights), clips)
    assert frames[-1].track_ids.tolist() == [0, 1] and frames[-1].labels.tolist() == [0, 1]
    assert [t.score for t in tracks] == pytest.approx([0.9, 0.5])


def test_masks_and_centers_can_contradict_class_and_score():
    # Class and score of the two objects change places; where they are does not.
    clips = [make_clip(0, [A, B]), make_clip(2, [(*A[:2], *B[2:]), (*B[:2], *A[2:])])]
    by_place = run(MultiCueClipTracker(1, 0, 0), clips)[0][-1].labels.tolist()
    by_name = run(MultiCueClipTracker(0, 1, 1), clips)[0][-1].labels.tolist()
    assert (by_place, by_name) == ([1, 0], [0, 1])


def test_per_class_matching_never_joins_classes():
    clips = [make_clip(0, [A]), make_clip(2, [(*A[:3], 1)])]
    assert len(run(MultiCueClipTracker(), clips)[1]) == 1
    _, tracks = run(MultiCueClipTracker(per_class_matching=True), clips)
    assert [t.label for t in tracks] == [0, 1]


def test_match_threshold_gates():
    clips = [make_clip(0, [A]), make_clip(2, [C])]
    assert len(run(MultiCueClipTracker(), clips)[1]) == 1
    assert len(run(MultiCueClipTracker(match_threshold=-1.0), clips)[1]) == 2


def test_birth_threshold():
    clips = [make_clip(0, [A, B]), make_clip(2, [A, B])]
    frames, tracks = run(MultiCueClipTracker(birth_threshold=0.6), clips)
    assert [t.label for t in tracks] == [0] and len(frames) == 6


@pytest.mark.parametrize(
    'threshold, frames_of_b', [(0.0, 8), (0.19, 8), (0.21, 4)], ids=['off', 'below', 'above']
)
def test_death_threshold_ends_tracks_that_score_little(threshold, frames_of_b):
    fading = (*B[:2], 0.2, 1)
    clips = [make_clip(0, [A, B]), make_clip(2, [fading, A]), make_clip(4, [A, fading])]
    _, tracks = run(MultiCueClipTracker(death_threshold=threshold), clips)
    assert [len(t.segmentations) for t in tracks] == [8, frames_of_b]


def test_what_scores_below_the_death_threshold_starts_no_track():
    _, tracks = run(MultiCueClipTracker(death_threshold=0.6), [make_clip(0, [B, A])])
    assert [t.label for t in tracks] == [0]


def test_a_track_that_died_can_be_taken_up_again():
    still, weak = (6.0, 0.0, 0.9, 0), (6.0, 0.0, 0.1, 0)
    clips = [make_clip(start, [x]) for start, x in ((0, still), (2, weak), (4, weak), (6, still))]
    for window, numbers in ((0, [0, 1]), (8, [0])):
        tracker = MultiCueClipTracker(death_threshold=0.5, reid_window=window)
        assert [t.track_id for t in run(tracker, clips)[1]] == numbers


@pytest.mark.parametrize('window, same', [(0, False), (2, False), (3, True), (8, True)])
def test_reidentification(window, same):
    still = (6.0, 0.0, 0.9, 0)
    clips = [make_clip(0, [still]), make_clip(2, []), make_clip(4, []), make_clip(6, [still])]
    tracker = MultiCueClipTracker(reid_window=window)
    frames, tracks = run(tracker, clips)
    assert frames[-1].track_ids.tolist() == ([0] if same else [1])
    assert len(tracks) == (1 if same else 2)
    if same:
        assert list(tracks[0].segmentations) == [0, 1, 2, 3, 6, 7, 8, 9]


def test_reidentification_needs_the_right_object():
    clips = [make_clip(0, [A]), make_clip(2, []), make_clip(4, []), make_clip(6, [(17, 0, 0.1, 1)])]
    _, tracks = run(MultiCueClipTracker(reid_window=20), clips)
    assert len(tracks) == 2


def test_missing_tracks_finish_early_and_once():
    clips = [make_clip(0, [A, C])] + [make_clip(start, [A]) for start in range(2, 20, 2)]
    tracker = MultiCueClipTracker(max_missing=3)
    early = []
    for clip in clips:
        tracker.update(clip, int(clip.frame_indices[0]) + 2)
        early.append([t.track_id for t in tracker.pop_finished()])
    # C is last seen in frame 3; frame 7 is final with the clip from 8 on (or the one before).
    assert sum(early, []) == [1] and early.index([1]) in (3, 4)
    assert [t.track_id for t in tracker.flush()[1]] == [0]


def test_scores_below_the_limits_give_no_mask_and_no_track():
    clip = make_clip(0, [A, B])
    clip.scores = torch.tensor([[0.5, 0.0009, 0.5, 0.5], [0.0015] * 4])
    frames, tracks = run(MultiCueClipTracker(), [clip])
    assert [list(t.segmentations) for t in tracks] == [[0, 2, 3]]
    assert frames[1].track_ids.tolist() == [1]


def test_instances_that_share_masks():
    clip = make_clip(0, [A, B])
    shared = ClipPrediction(
        clip.frame_indices,
        clip.scores,
        clip.labels,
        clip.masks[:1],
        clip.centers,
        mask_index=torch.tensor([0, 0]),
    )
    _, tracks = run(MultiCueClipTracker(), [shared, make_clip(2, [A, B])])
    assert tracks[0].segmentations[0] == tracks[1].segmentations[0]
    assert len(tracks) == 2


@pytest.mark.parametrize('next_start', [3, None])
def test_leading_frames_of_the_last_clip(next_start):
    # In frames 1 and 2, which are ignored, the two instances lie as if they had changed places.
    first = make_clip(0, [(4.0, 0, 0.5, 0), (14.0, 0, 0.5, 0)])
    last = make_clip(1, [(14.0, 0, 0.6, 0), (4.0, 0, 0.4, 0)], num_ignored=2)
    last.masks[:, 2:] = last.masks[[1, 0]][:, 2:]
    for merge in (True, False):
        tracker = MultiCueClipTracker(1, 0, 0, merge_ignored_frames=merge)
        tracker.update(first, next_start)
        frames, (one, two) = run_last(tracker, last)
        assert list(one.frame_scores.values()) == pytest.approx(
            [0.5, 0.6, 0.6, 0.6, 0.6] if merge else [0.5, 0.5, 0.5, 0.6, 0.6]
        )
        assert list(two.frame_scores.values()) == pytest.approx([0.5] * 4 + [0.4])
        assert len(frames) == 4  # frame 0 came with the first clip


def run_last(tracker, clip):
    frames = tracker.update(clip, 5)
    rest, tracks = tracker.flush()
    return frames + rest, tracks


@settings(deadline=None, max_examples=30, derandomize=True)
@given(
    seed=st.integers(0, 999),
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    stride=st.integers(1, 3),
    per_class=st.booleans(),
)
def test_invariances(seed, counts, stride, per_class):
    generator = torch.Generator().manual_seed(seed)

    def random_clip(number, count):
        clip = make_clip(number * stride, [A] * count)
        clip.scores = torch.rand(count, 4, generator=generator)
        clip.labels = torch.randint(0, 2, (count,), generator=generator)
        clip.masks = torch.rand(count, 4, *SIZE, generator=generator)
        return clip

    clips = [random_clip(number, count) for number, count in enumerate(counts)]
    tracker = MultiCueClipTracker(per_class_matching=per_class)
    frames, tracks = run(tracker, clips, stride)
    # Every frame once and in order, with sorted track numbers.
    assert [f.frame_index for f in frames] == list(range(stride * (len(clips) - 1) + 4))
    assert all(f.track_ids.tolist() == sorted(set(f.track_ids.tolist())) for f in frames)
    # What was given out is what the tracks hold.
    held = {(f, t.track_id): m for t in tracks for f, m in t.segmentations.items()}
    given_out = {
        (f.frame_index, track_id): mask
        for f in frames
        for track_id, mask in zip(f.track_ids.tolist(), f.masks)
    }
    finished = {t.track_id for t in tracks}
    assert held == {key: mask for key, mask in given_out.items() if key[1] in finished}
    # The flushed tracker starts afresh, and knowing the stride changes nothing.
    again, same = run(tracker, clips, next_start=False)
    assert same == tracks
    assert all(torch.equal(x.track_scores, y.track_scores) for x, y in zip(frames, again))
    # The order of instances in a clip does not matter.
    for clip in clips:
        order = torch.randperm(clip.num_instances, generator=generator)
        clip.scores, clip.labels = clip.scores[order], clip.labels[order]
        clip.masks, clip.centers = clip.masks[order], clip.centers[order]
    assert as_set(run(tracker, clips, stride)[1]) == as_set(tracks)


def test_running_results_end_at_the_final_ones():
    clips = [make_clip(0, [A, B]), make_clip(2, [A, B])]
    clips[1].scores = clips[1].scores * 0.5
    frames, tracks = run(MultiCueClipTracker(), clips)
    assert frames[-1].track_scores.tolist() == pytest.approx([t.score for t in tracks])
    assert frames[-1].track_labels.tolist() == [t.label for t in tracks]


def test_only_the_overlap_is_held():
    tracker = MultiCueClipTracker(keep_segmentations=False, max_missing=4)
    sizes = []
    for start in range(0, 200, 2):
        tracker.update(make_clip(start, [A, B, C]), start + 2)
        tracker.pop_finished()
        sizes.append((tracker.num_buffered_masks, len(tracker._ledger._waiting)))
    assert set(sizes) == {(6, 1)}  # three objects in two frames; one frame waits
    _, tracks = tracker.flush()
    assert all(not t.segmentations for t in tracks)


def test_failed_update_changes_nothing():
    clips = [make_clip(0, [A, B]), make_clip(2, [B, A])]
    expected = run(MultiCueClipTracker(), clips)[1]
    tracker = MultiCueClipTracker()
    tracker.update(clips[0], 2)
    broken = make_clip(2, [B, A])
    broken.masks = broken.masks * float('nan')
    with pytest.raises(ValueError, match=r'frames \[2, 3\] are not finite'):
        tracker.update(broken, 4)
    tracker.update(clips[1], 4)
    assert tracker.flush()[1] == expected


def test_trackers_from_new_are_independent():
    tracker = MultiCueClipTracker(center_weight=1.0)
    tracker.update(make_clip(0, [A]))
    other = tracker.new()
    assert other.cost == tracker.cost and other.flush() == ([], [])
    assert len(tracker.flush()[1]) == 1


@pytest.mark.parametrize(
    'clip, message',
    [
        (make_clip(0, [A]), 'must start after frame 0'),
        (ClipPrediction([2, 3], torch.ones(0, 2), torch.zeros(0).long(), torch.ones(0, 2, 3, 4),
                        torch.ones(0, 2, 2)), 'one size'),
        (make_clip(2, [(*A[:2], float('nan'), 0)]), 'frames 2..5 are not finite'),
    ],
)  # fmt: skip
def test_bad_clips(clip, message):
    tracker = MultiCueClipTracker()
    tracker.update(make_clip(0, [A]))
    with pytest.raises(ValueError, match=message):
        tracker.update(clip)


def test_repeated_frames_are_refused():
    clip = make_clip(0, [A])
    clip.frame_indices = torch.tensor([0, 1, 0, 1])
    with pytest.raises(ValueError, match=r'ClipPrediction.head'):
        MultiCueClipTracker().update(clip)


@pytest.mark.parametrize(
    'settings_, message',
    [
        ({'final_class_policy': 'best'}, 'final_class_policy'),
        ({'final_score_policy': 'max'}, 'final_score_policy'),
        ({'reid_window': -1}, 'reid_window'),
        ({'reid_window': 5, 'max_missing': 4}, 'max_missing'),
    ],
)
def test_bad_settings(settings_, message):
    with pytest.raises(ValueError, match=message):
        MultiCueClipTracker(**settings_)
