import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdevis.models.trackers import MultiCueClipTracker
from mmdevis.models.trackers.duplicates import without_duplicates
from mmdevis.models.trackers.observations import Observations
from mmdevis.structures import ClipPrediction


def clip(boxes, scores, labels, mask_index=None, frames=(0, 1)):
    """Masks are columns x0..x1 of a 4 x 40 picture, the same in all frames."""
    masks = torch.zeros(len(boxes), len(frames), 4, 40)
    for row, (x0, x1) in enumerate(boxes):
        masks[row, :, :, x0:x1] = 1
    num = len(scores)
    return ClipPrediction(
        frame_indices=torch.tensor(frames),
        scores=torch.tensor(scores)[:, None].expand(num, len(frames)).contiguous(),
        labels=torch.tensor(labels),
        masks=masks,
        centers=torch.zeros(num, len(frames), 2),
        mask_index=None if mask_index is None else torch.tensor(mask_index),
    )


def kept(*args, max_iou=0.5, **kwargs):
    return without_duplicates(Observations.from_clip(clip(*args, **kwargs)), max_iou).tolist()


def test_lower_score_goes_whatever_the_class():
    assert kept([(0, 10), (1, 10), (20, 30)], [0.4, 0.8, 0.1], [0, 1, 0]) == [False, True, True]


def test_overlap_up_to_the_limit_stays():
    boxes = [(0, 10), (0, 20)]  # IoU 0.5
    assert kept(boxes, [0.4, 0.8], [0, 0]) == [True, True]
    assert kept(boxes, [0.4, 0.8], [0, 0], max_iou=0.49) == [False, True]


def test_one_class_per_trajectory():
    assert kept([(0, 10)], [0.2, 0.5, 0.3], [0, 1, 2], mask_index=[0, 0, 0]) == [False, True, False]


def test_empty_masks_are_no_duplicates_unless_shared():
    assert kept([(0, 0), (0, 0)], [0.4, 0.8], [0, 0]) == [True, True]
    assert kept([(0, 0)], [0.4, 0.8], [0, 1], mask_index=[0, 0]) == [False, True]


def test_a_duplicate_of_a_duplicate_stays():
    """1 repeats 0, and 2 repeats 1 but not 0."""
    assert kept([(0, 10), (3, 13), (6, 16)], [0.9, 0.8, 0.7], [0] * 3) == [True, False, True]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(1, 10), st.integers(1, 99)),
        min_size=1,
        max_size=8,
    ),
    st.floats(0.1, 0.9),
)
def test_those_that_stay_differ_and_the_others_repeat_one_of_them(items, max_iou):
    boxes = [(x, x + width) for x, width, _ in items]
    scores = [score / 100 for *_, score in items]
    stays = kept(boxes, scores, [0] * len(items), max_iou=max_iou)

    def iou(a, b):
        inside = max(0, min(a[1], b[1]) - max(a[0], b[0]))
        return inside / (a[1] - a[0] + b[1] - b[0] - inside)

    for i, first in enumerate(boxes):
        others = [j for j in range(len(boxes)) if stays[j] and j != i]
        if stays[i]:
            assert all(iou(first, boxes[j]) <= max_iou + 1e-6 for j in others)
        else:
            assert any(
                iou(first, boxes[j]) > max_iou - 1e-6 and scores[j] >= scores[i] - 1e-6
                for j in others
            )


def test_tracker_uses_each_object_once():
    predicted = clip([(0, 10), (1, 10)], [0.4, 0.8], [0, 1])
    for limit, scores in ((None, {0.4, 0.8}), (0.5, {0.8})):
        tracker = MultiCueClipTracker(duplicate_iou=limit)
        tracker.update(predicted)
        assert {round(track.score, 2) for track in tracker.flush()[1]} == scores
