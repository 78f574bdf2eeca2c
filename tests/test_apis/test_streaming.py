import itertools
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from mmdevis.apis.clip_scheduler import ClipScheduler
from mmdevis.apis.streaming import VideoStream
from mmdevis.models.trackers import MultiCueClipTracker
from mmdevis.structures import ClipPrediction

SIZE = (6, 7)


class FakeModel:
    """Random but reproducible clips with 0 to 4 instances; frames are pushed as their numbers."""

    def __init__(self, seed=0, most=4, cut=True):
        self.seed, self.most, self.cut = seed, most, cut
        self.asked = []

    def __call__(self, frames, frame_indices):
        assert frames == frame_indices, 'the stream handed over other frames than it said'
        self.asked.append(list(frame_indices))
        random = np.random.RandomState(self.seed * 1000 + frame_indices[0])
        num, length = random.randint(0, self.most + 1), len(frames)
        arrays = [
            random.uniform(0, 1, (num, length)),
            random.randint(0, 2, num),
            random.uniform(0, 1, (num, length, *SIZE)),
            random.uniform(0, 1, (num, length, 2)),
        ]
        scores, labels, masks, centers = (torch.from_numpy(a) for a in arrays)
        clip = ClipPrediction(
            torch.tensor(frame_indices), scores.float(), labels, masks.float(), centers.float()
        )
        return clip.head(len(set(frame_indices))) if self.cut else clip


def stream_tracks(model, tracker, length, num_frames, stride, latency='exact', batch_size=1):
    """Frames with the number of frames that had arrived, and tracks."""
    arrived = []
    with VideoStream(model, tracker, num_frames, stride, latency, batch_size) as stream:
        for frame in range(length):
            arrived += [(frame, result) for result in stream.push(frame)]
        rest, tracks = stream.close()
    return arrived + [(length - 1, result) for result in rest], tracks


def whole_video_tracks(model, tracker, length, num_frames, stride):
    """All clips first; then the tracker, which is not told what comes, and gives all at the end."""
    tracker = tracker.new()
    plans = ClipScheduler(num_frames, stride).clips(length)
    predictions = [model(list(plan.frame_indices), list(plan.frame_indices)) for plan in plans]
    frames = []
    for plan, prediction in zip(plans, predictions):
        clip = prediction.head(plan.num_real)
        clip.num_ignored = plan.num_ignored
        frames += tracker.update(clip)
    rest, tracks = tracker.flush()
    return frames + rest, tracks


def assert_identical(results, tracks, expected):
    """The same bits in every frame and track."""
    expected_frames, expected_tracks = expected
    assert tracks == expected_tracks
    for (_, mine), wanted in zip(results, expected_frames, strict=True):
        assert mine.frame_index == wanted.frame_index and mine.masks == wanted.masks
        for name in ('track_ids', 'labels', 'scores', 'track_labels', 'track_scores'):
            assert torch.equal(getattr(mine, name), getattr(wanted, name))


def longest_wait(num_frames, stride, batch_size=1):
    """Frames that a frame waits for at most in exact mode."""
    return min(num_frames, num_frames + stride - 2) + (batch_size - 1) * stride


def offline_tracks(model, length, num_frames, stride, weights, per_class):
    """The rules of REFERENCE.md for a whole video, in plain loops over clips, pairs and frames."""
    if length <= num_frames:
        starts = [0]
    else:
        starts = list(range(0, length - num_frames + 1, stride))
        if starts[-1] + num_frames < length:
            starts.append(length - num_frames)
    tracks = []  # each a dict: frame -> (score, label, mask, centre)
    for number, start in enumerate(starts):
        numbers = [start + i for i in range(num_frames)]
        if length < num_frames:
            wave = list(range(length)) + list(range(length - 2, 0, -1))
            numbers = list(itertools.islice(itertools.cycle(wave), num_frames))
        clip = model(numbers, numbers)
        matched_from = starts[number - 1] + stride if number else 0
        instances = [
            {
                int(frame): (
                    float(clip.scores[k, t]),
                    int(clip.labels[k]),
                    clip.masks[k, t].double(),
                    clip.centers[k, t].double(),
                )
                for t, frame in enumerate(clip.frame_indices)
            }
            for k in range(clip.num_instances)
        ]
        cost = np.full((len(tracks), len(instances)), 1e6)
        for (i, track), (j, instance) in itertools.product(enumerate(tracks), enumerate(instances)):
            both = [(track[f], instance[f]) for f in instance if f in track and f >= matched_from]
            if not both or (per_class and all(a[1] != b[1] for a, b in both)):
                continue
            product = sum(float((a[2] * b[2]).sum()) for a, b in both)
            union = sum(float((a[2] + b[2] - a[2] * b[2]).sum()) for a, b in both)
            cost[i, j] = (
                -weights[0] * product / union
                - weights[1] * np.mean([a[1] == b[1] for a, b in both])
                + weights[2] * np.mean([abs(a[0] - b[0]) for a, b in both])
                + weights[3] * np.mean([float((a[3] - b[3]).abs().mean()) for a, b in both])
            )
        pairs = {j: i for i, j in zip(*linear_sum_assignment(cost)) if cost[i, j] < 1e5}
        for j, instance in enumerate(instances):
            if j not in pairs:
                tracks.append(instance)
                continue
            track = tracks[pairs[j]]
            for frame, prediction in instance.items():
                if frame not in track or prediction[0] > track[frame][0]:
                    track[frame] = prediction
    result = []
    for track in tracks:
        kept = {frame: value for frame, value in sorted(track.items()) if value[0] >= 0.001}
        labels = [value[1] for value in kept.values()]
        if kept and np.mean([value[0] for value in kept.values()]) > 0.002:
            result.append(
                (
                    max(sorted(set(labels)), key=labels.count),
                    np.mean([value[0] for value in kept.values()]),
                    {frame: (value[2] > 0.5).numpy() for frame, value in kept.items()},
                )
            )
    return result


def assert_same_tracks(tracks, expected):
    assert len(tracks) == len(expected)
    for track, (label, score, masks) in zip(tracks, expected):
        assert track.label == label
        assert track.score == pytest.approx(score, abs=1e-6)
        assert list(track.segmentations) == list(masks)
        for frame, rle in track.segmentations.items():
            assert (coco_mask.decode(rle).astype(bool) == masks[frame]).all()


# ---------------------------------------------------------------------------------- exact mode
@pytest.mark.parametrize('num_frames, stride', [(t, s) for t in (4, 6) for s in range(1, t)])
def test_stream_is_bit_for_bit_the_whole_video_at_every_length(num_frames, stride):
    for length in range(1, 41):
        model = FakeModel(seed=length, most=3)
        results, tracks = stream_tracks(model, MultiCueClipTracker(), length, num_frames, stride)
        expected = whole_video_tracks(model, MultiCueClipTracker(), length, num_frames, stride)
        assert_identical(results, tracks, expected)
        # No frame waits longer than it can still change.
        waits = [now - result.frame_index for now, result in results]
        assert max(waits) <= longest_wait(num_frames, stride) <= num_frames + stride - 2


@settings(deadline=None, max_examples=40, derandomize=True)
@given(data=st.data())
def test_clips_in_batches_are_bit_for_bit_the_whole_video(data):
    num_frames = data.draw(st.integers(2, 7))
    stride = data.draw(st.integers(1, num_frames - 1))
    length, batch_size = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 5))
    model = FakeModel(data.draw(st.integers(0, 50)))
    results, tracks = stream_tracks(
        model, MultiCueClipTracker(), length, num_frames, stride, batch_size=batch_size
    )
    expected = whole_video_tracks(model, MultiCueClipTracker(), length, num_frames, stride)
    assert_identical(results, tracks, expected)
    waits = [now - result.frame_index for now, result in results]
    assert max(waits) <= longest_wait(num_frames, stride, batch_size)


def test_batches_are_full_and_end_with_the_video():
    model, sizes = FakeModel(), []

    def predict_clips(clips, indices):
        sizes.append(len(clips))
        return map(model, clips, indices)

    stream = VideoStream(
        model, MultiCueClipTracker(), 4, 2, batch_size=3, predict_clips=predict_clips
    )
    for frame in range(17):  # clips at 0, 2, ..., 12 and the last at 13
        stream.push(frame)
    stream.close()
    assert sizes == [3, 3, 2]


@pytest.mark.parametrize('batch_size, latency', [(0, 'exact'), (-1, 'exact'), (2, 'low')])
def test_bad_batch_sizes(batch_size, latency):
    with pytest.raises(ValueError, match='batch_size must be at least 1, and 1 with'):
        VideoStream(FakeModel(), MultiCueClipTracker(), 4, 2, latency, batch_size)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(data=st.data())
def test_stream_equals_the_whole_video(data):
    num_frames = data.draw(st.integers(2, 7))
    stride = data.draw(st.integers(1, num_frames - 1))
    length = data.draw(st.integers(1, 40))
    weights = data.draw(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0])] * 4))
    if sum(weights) == 0:
        weights = (1.0, 0.0, 0.0, 0.0)
    # Class alone leaves ties, which either side may break in its own way.
    weights = (weights[0] or 0.5, *weights[1:])
    per_class = data.draw(st.booleans())
    model = FakeModel(data.draw(st.integers(0, 50)), cut=data.draw(st.booleans()))
    _, tracks = stream_tracks(
        model,
        MultiCueClipTracker(*weights, per_class_matching=per_class),
        length,
        num_frames,
        stride,
    )
    model.cut = True
    expected = offline_tracks(model, length, num_frames, stride, weights, per_class)
    assert_same_tracks(tracks, expected)


# ---------------------------------------------------------------------------------- low latency
@pytest.mark.parametrize('num_frames, stride', [(4, 1), (4, 3), (6, 4)])
def test_low_latency_waits_less_and_differs_only_where_stated(num_frames, stride):
    for length in range(1, 30):
        model = FakeModel(seed=length)
        exact, _ = stream_tracks(model, MultiCueClipTracker(), length, num_frames, stride)
        low, _ = stream_tracks(model, MultiCueClipTracker(), length, num_frames, stride, 'low')
        assert [r.frame_index for _, r in low] == list(range(length))
        last = ClipScheduler(num_frames, stride).clips(length)[-1]
        may_differ = last.frame_indices[: last.num_ignored]
        assert len(may_differ) <= stride - 1
        for (now, ours), (_, theirs) in zip(low, exact):
            assert now - ours.frame_index <= num_frames - 1
            if ours.frame_index not in may_differ:
                assert torch.equal(ours.track_ids, theirs.track_ids)
                assert torch.equal(ours.scores, theirs.scores) and ours.masks == theirs.masks


def test_modes_do_differ():
    model = FakeModel(seed=3, most=6)
    results = [
        stream_tracks(model, MultiCueClipTracker(), 13, 6, 4, mode)[0] for mode in ('exact', 'low')
    ]
    assert any(a.masks != b.masks for (_, a), (_, b) in zip(*results))
    with pytest.raises(ValueError, match='latency'):
        VideoStream(model, MultiCueClipTracker(), 6, 4, 'medium')


# ---------------------------------------------------------------------------------- state
def test_two_streams_share_model_and_tracker_settings():
    tracker, models = MultiCueClipTracker(center_weight=1.0), [FakeModel(1), FakeModel(2)]
    expected = [stream_tracks(model, tracker, 21, 4, 3)[1] for model in models]
    streams = [VideoStream(model, tracker, 4, 3) for model in models]
    for frame in range(21):
        for stream in streams:
            stream.push(frame)
    assert [stream.close()[1] for stream in streams] == expected


@pytest.mark.parametrize('batch_size', [1, 3])
@pytest.mark.parametrize('kind', [RuntimeError, KeyboardInterrupt])
def test_a_failed_push_can_be_repeated(kind, batch_size):
    expected = stream_tracks(FakeModel(5), MultiCueClipTracker(), 17, 4, 2)
    model, failed = FakeModel(5), set()

    def sometimes_fails(frames, frame_indices):
        if frame_indices[0] not in failed:
            failed.add(frame_indices[0])
            raise kind('out of memory')
        return model(frames, frame_indices)

    stream, results = (
        VideoStream(sometimes_fails, MultiCueClipTracker(), 4, 2, batch_size=batch_size),
        [],
    )
    for frame in range(17):
        for attempt in range(batch_size + 1):
            try:
                results += [(frame, result) for result in stream.push(frame)]
                break
            except kind:
                assert attempt < batch_size and stream.num_seen == frame
    while not stream.closed:
        try:
            rest, tracks = stream.close()
        except kind:
            pass
    assert len(failed) == 8
    assert tracks == expected[1]
    assert [r.masks for _, r in results] + [r.masks for r in rest] == [
        r.masks for _, r in expected[0]
    ]


def test_empty_video():
    stream = VideoStream(FakeModel(), MultiCueClipTracker(), 4, 2)
    with pytest.raises(ValueError, match='no frame'):
        stream.close()


def test_closed_stream_refuses_frames():
    stream = VideoStream(FakeModel(), MultiCueClipTracker(), 4, 2)
    stream.push(0)
    stream.close()
    assert stream.closed
    for call in (lambda: stream.push(1), stream.close):
        with pytest.raises(RuntimeError, match='closed'):
            call()


def test_leaving_early_releases_everything():
    with VideoStream(FakeModel(), MultiCueClipTracker(), 4, 2) as stream:
        for frame in range(9):
            stream.push(frame)
    assert stream.closed and not stream._frames and stream.tracker.num_buffered_masks == 0


def test_prediction_for_other_frames_is_refused():
    def wrong(frames, frame_indices):
        return FakeModel()([i + 1 for i in frame_indices], [i + 1 for i in frame_indices])

    stream = VideoStream(wrong, MultiCueClipTracker(), 2, 1)
    stream.push(0)
    with pytest.raises(ValueError, match=r'asked for frames \[0, 1\].*\[1, 2\]'):
        stream.push(1)


def resident_bytes():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


@pytest.mark.skipif(not os.path.exists('/proc/self/statm'), reason='needs /proc')
@pytest.mark.parametrize('batch_size', [1, 3])
def test_resident_memory_does_not_grow(batch_size):
    size, masks = (120, 160), torch.rand(2, 6, 120, 160)

    def predict_clip(frames, frame_indices):
        still = torch.full((2, 6), 0.5)
        return ClipPrediction(
            torch.tensor(frame_indices), still, torch.zeros(2).long(), masks.clone(),
            still[..., None].expand(2, 6, 2),
        )  # fmt: skip

    stream = VideoStream(predict_clip, MultiCueClipTracker(), 6, 4, batch_size=batch_size)
    for number in range(500):
        stream.push(torch.full((3, *size), number, dtype=torch.float))  # 0.23 MB
        if number == 99:
            before = resident_bytes()
    # Kept frames would add 92 MB, kept masks 60 MB.
    assert resident_bytes() < 1.05 * before


def test_memory_is_bounded():
    tracker = MultiCueClipTracker(keep_segmentations=False, max_missing=10)
    stream, held = VideoStream(FakeModel(most=4), tracker, 6, 4), []
    for frame in range(400):
        stream.push(frame)
        stream.pop_finished()
        held.append(
            (
                len(stream._frames),
                stream.tracker.num_buffered_masks,
                len(stream.tracker._ledger._waiting),
                len(stream.tracker._ledger._records),
            )
        )
    frames, masks, waiting, records = (max(column) for column in zip(*held))
    assert frames == 6 and masks <= 2 * 8 and waiting <= 4 and records <= 16
    assert all(max(a) <= max(b) for a, b in zip(zip(*held[300:]), zip(*held[:300])))


def test_clips_of_one_frame_are_joined_by_reidentification():
    def predict_clip(frames, indices):
        """One object that moves to the right, another one that stands below; their order turns."""
        masks = torch.zeros(2, 1, 8, 16)
        masks[0, 0, 0:3, indices[0] : indices[0] + 5] = 0.9
        masks[1, 0, 5:8, 2:7] = 0.9
        order = [0, 1] if indices[0] % 2 else [1, 0]
        return ClipPrediction(
            torch.tensor(indices), torch.full((2, 1), 0.8), torch.tensor([0, 0]), masks[order],
            torch.zeros(2, 1, 2),
        )  # fmt: skip

    tracker = MultiCueClipTracker(reid_window=1, reid_threshold=-0.3)
    results, tracks = stream_tracks(predict_clip, tracker, 8, 1, 1)
    assert [arrived for arrived, _ in results] == list(range(8))
    assert len(tracks) == 2
    lefts = [[coco_mask.toBbox(seg)[0] for seg in track.segmentations.values()] for track in tracks]
    assert sorted(lefts) == [[float(i) for i in range(8)], [2.0] * 8]
    with pytest.raises(ValueError, match='reid_window'):
        VideoStream(predict_clip, MultiCueClipTracker(), 1, 1)
