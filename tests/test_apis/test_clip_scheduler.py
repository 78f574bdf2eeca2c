import itertools

import pytest

from mmdevis.apis.clip_scheduler import ClipScheduler, back_and_forth


@pytest.mark.parametrize('num_frames', [2, 3, 6, 7])
def test_schedule_of_every_length_and_stride(num_frames):
    for stride, length in itertools.product(range(1, num_frames), range(1, 41)):
        plans = ClipScheduler(num_frames, stride).clips(length)
        covered = {frame for plan in plans for frame in plan.frame_indices}
        assert covered == set(range(length))
        starts = [plan.frame_indices[0] for plan in plans]
        assert starts[:-1] == list(range(0, stride * (len(plans) - 1), stride))
        assert all(plan.num_ignored == 0 for plan in plans[:-1])
        last = plans[-1]
        if length >= num_frames:
            assert last.frame_indices == tuple(range(length - num_frames, length))
            assert last.num_real == num_frames
            # Frames that count for matching are the usual overlap, or fewer in no case.
            if len(plans) > 1:
                end_before = plans[-2].frame_indices[-1]
                shared = end_before - last.frame_indices[last.num_ignored] + 1
                assert shared == num_frames - stride
        else:
            assert last.num_real == length and len(plans) == 1


@pytest.mark.parametrize(
    'length, num_frames, expected',
    [
        (4, 6, [0, 1, 2, 3, 2, 1]),
        (4, 9, [0, 1, 2, 3, 2, 1, 0, 1, 2]),
        (1, 4, [0, 0, 0, 0]),
        (2, 5, [0, 1, 0, 1, 0]),
        (6, 6, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_short_videos_go_back_and_forth(length, num_frames, expected):
    assert back_and_forth(length, num_frames) == expected


@pytest.mark.parametrize('num_frames, stride', [(6, 6), (6, 7), (6, 0), (6, -1)])
def test_strides_without_overlap_are_refused(num_frames, stride):
    with pytest.raises(ValueError, match=r'stride must be in 1..5'):
        ClipScheduler(num_frames, stride)


def test_clips_of_one_frame_share_nothing():
    plans = ClipScheduler(1, 1).clips(3)
    assert [plan.frame_indices for plan in plans] == [(0,), (1,), (2,)]
    assert [plan.next_start for plan in plans] == [1, 2, 3]
    with pytest.raises(ValueError, match=r'stride must be in 1..1'):
        ClipScheduler(1, 2)
    with pytest.raises(ValueError, match='at least 1'):
        ClipScheduler(0, 1)
