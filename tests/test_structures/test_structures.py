import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from mmdevis.structures import (
    ClipPrediction,
    FrameTracks,
    decode_masks,
    encode_masks,
    rle_to_bboxes,
)


def make_clip(num=3, length=4, rows=None, **changes):
    fields = {
        'frame_indices': torch.arange(length),
        'scores': torch.rand(num, length),
        'labels': torch.arange(num),
        'masks': torch.rand(num if rows is None else rows, length, 5, 6),
        'centers': torch.rand(num, length, 2),
    }
    return ClipPrediction(**(fields | changes))


@settings(deadline=None, max_examples=40)
@given(
    num=st.integers(0, 4),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    fill=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_encoding_decodes_to_the_same_masks(num, height, width, fill, seed):
    masks = torch.from_numpy(np.random.RandomState(seed).rand(num, height, width) < fill)
    encoded = encode_masks(masks)
    decoded = decode_masks(encoded)
    assert decoded.dtype == bool
    assert np.array_equal(decoded, masks.numpy()) if num else decoded.shape == (0, 0, 0)
    assert len(encoded) == num
    for mask, rle in zip(masks, encoded):
        assert rle['size'] == [height, width] and isinstance(rle['counts'], bytes)
        assert (torch.from_numpy(coco_mask.decode(rle)).bool() == mask).all()
        # The very bytes that pycocotools writes for one mask.
        alone = coco_mask.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
        assert rle['counts'] == alone['counts']


@pytest.mark.parametrize('dtype', [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_encoding_takes_any_binary_dtype(dtype):
    masks = torch.tensor([[[0, 1, 1], [0, 0, 1]]]).to(dtype)
    assert (coco_mask.decode(encode_masks(masks)[0]) == [[0, 1, 1], [0, 0, 1]]).all()


def test_encoding_refuses_a_single_mask():
    with pytest.raises(ValueError, match=r'\(N, H, W\)'):
        encode_masks(torch.zeros(4, 5))


def test_boxes_are_tight_and_empty_masks_give_zeros():
    masks = torch.zeros(2, 7, 9, dtype=torch.bool)
    masks[0, 2:5, 3:8] = True
    frame = FrameTracks(0, torch.arange(2), torch.zeros(2), torch.ones(2), encode_masks(masks))
    assert frame.bboxes.tolist() == [[3, 2, 8, 5], [0, 0, 0, 0]]
    assert rle_to_bboxes([]).shape == (0, 4)


@pytest.mark.parametrize(
    'field, value',
    [
        ('frame_indices', torch.zeros(0)),
        ('scores', torch.rand(4, 3)),
        ('centers', torch.rand(3, 4)),
        ('masks', torch.rand(2, 4, 5, 6)),
        ('masks', torch.rand(3, 5, 5, 6)),
        ('mask_index', torch.tensor([0, 1, 3])),
        ('mask_index', torch.tensor([0, 1])),
        ('num_ignored', 4),
    ],
)
def test_wrong_fields_are_named(field, value):
    with pytest.raises(ValueError, match=field):
        make_clip(**{field: value})


def test_mask_rows_and_head():
    clip = make_clip(rows=2, mask_index=torch.tensor([1, 0, 1]), num_ignored=3)
    assert clip.mask_rows.tolist() == [1, 0, 1]
    head = clip.head(2)
    assert head.num_frames == 2 and head.num_ignored == 1 and head.image_size == (5, 6)
    assert head.masks.data_ptr() == clip.masks.data_ptr()
    assert make_clip().mask_rows.tolist() == [0, 1, 2]
