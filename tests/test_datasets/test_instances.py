import numpy as np
import pytest
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from mmdevis.datasets import RecomputeBoxesFromMasks


def _results(sizes, boxes=None):
    masks = np.zeros((len(sizes), 6, 8), np.uint8)
    for mask, size in zip(masks, sizes):
        mask[2, :size] = 1
    n = len(sizes)
    return {
        'gt_masks': BitmapMasks(masks, 6, 8),
        'gt_bboxes': np.zeros((n, 4), np.float32) if boxes is None else boxes,
        'gt_bboxes_labels': np.arange(n),
        'gt_instances_ids': np.arange(n) + 10,
        'gt_ignore_flags': np.zeros(n, bool),
    }


def test_almost_invisible_objects_are_dropped():
    out = RecomputeBoxesFromMasks()(_results([0, 1, 2, 3, 7]))
    assert out['gt_instances_ids'].tolist() == [13, 14]
    assert out['gt_bboxes_labels'].tolist() == [3, 4]
    assert out['gt_bboxes'].tolist() == [[0, 2, 3, 3], [0, 2, 7, 3]]
    assert len(out['gt_masks']) == len(out['gt_ignore_flags']) == 2


@pytest.mark.parametrize('sizes', [[], [0], [1, 2]])
def test_nothing_left(sizes):
    out = RecomputeBoxesFromMasks()(_results(sizes))
    assert out['gt_bboxes'].shape == (0, 4)
    assert out['gt_masks'].masks.shape == (0, 6, 8)


def test_box_type_is_kept():
    boxes = HorizontalBoxes(np.zeros((1, 4), np.float32))
    assert isinstance(RecomputeBoxesFromMasks()(_results([5], boxes))['gt_bboxes'], HorizontalBoxes)
    assert isinstance(RecomputeBoxesFromMasks()(_results([5]))['gt_bboxes'], np.ndarray)
