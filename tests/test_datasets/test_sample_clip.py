import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdevis.datasets.transforms import SampleClip, back_and_forth


def test_short_videos_play_back_and_forth():
    assert [back_and_forth(i, 4) for i in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert [back_and_forth(i, 2) for i in range(4)] == [0, 1, 0, 1]
    assert [back_and_forth(i, 1) for i in range(3)] == [0, 0, 0]


@given(index=st.integers(0, 1000), length=st.integers(1, 50))
def test_neighbours_stay_neighbours(index, length):
    here, there = back_and_forth(index, length), back_and_forth(index + 1, length)
    assert 0 <= here < length
    assert abs(here - there) == min(length - 1, 1)


@given(data=st.data(), length=st.integers(1, 40), num_frames=st.integers(1, 8))
def test_contiguous(data, length, num_frames):
    start = data.draw(st.integers(0, max(0, length - num_frames)))
    frames = SampleClip().frame_indices(start, num_frames, length)
    if num_frames <= length:
        assert frames == list(range(start, start + num_frames))
    else:
        assert frames == [back_and_forth(i, length) for i in range(num_frames)]


@given(
    data=st.data(),
    length=st.integers(1, 40),
    num_frames=st.integers(1, 6),
    stride=st.integers(1, 5),
    more=st.integers(0, 3) | st.none(),
)
def test_gaps(data, length, num_frames, stride, more):
    start = data.draw(st.integers(0, length - 1))
    max_gap = None if more is None else stride + more
    frames = SampleClip(stride=stride, max_gap=max_gap).frame_indices(start, num_frames, length)
    assert len(frames) == num_frames
    assert all(0 <= frame < length for frame in frames)
    if length > (num_frames - 1) * (max_gap or stride):
        # Long enough: no frame twice, all gaps as asked, and the start as near as possible.
        gaps = np.diff(frames)
        assert all(stride <= gap <= (max_gap or stride) for gap in gaps)
        assert frames[0] == min(start, length - 1 - (frames[-1] - frames[0]))


def test_random_gaps_vary():
    np.random.seed(0)
    clips = {tuple(SampleClip(max_gap=3).frame_indices(0, 4, 50)) for _ in range(100)}
    gaps = {tuple(np.diff(clip)) for clip in clips}
    assert len(gaps) == 27


@pytest.mark.parametrize('wrong', [{'stride': 0}, {'stride': 3, 'max_gap': 2}])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match='stride'):
        SampleClip(**wrong)


def test_records_become_lists():
    images = [{'frame_id': i, 'video_id': 9} for i in range(3)]
    info = {'images': images, 'video_length': 3, 'clip_start': 0, 'num_frames': 4}
    assert SampleClip()(info) == {
        'frame_id': [0, 1, 2, 1],
        'video_id': [9] * 4,
        'video_length': [4] * 4,
        'ori_video_length': [3] * 4,
    }
    assert SampleClip(num_frames=2)(info)['frame_id'] == [0, 1]
