import numpy as np
import pytest
from mmdet.structures.mask import BitmapMasks

from mmdevis.datasets import ImageToClip

STILL = {'rotation': 0, 'translation': 0, 'perspective': 0}
PLAIN = {'brightness': 0, 'hue_saturation': 0, 'blur_prob': 0}


def _results(num_frames=4):
    image = np.full((48, 64, 3), 60, np.uint8)
    masks = np.zeros((2, 48, 64), np.uint8)
    masks[0, 10:30, 20:40] = 1
    masks[1, 0:6, 0:6] = 1
    image[masks[0] > 0] = 200
    image[masks[1] > 0] = 120
    return {
        'img': image,
        'img_id': 5,
        'num_frames': num_frames,
        'gt_masks': BitmapMasks(masks, 48, 64),
        'gt_bboxes': np.zeros((2, 4), np.float32),
        'gt_bboxes_labels': np.array([3, 4]),
        'gt_instances_ids': np.array([1, 2]),
        'gt_ignore_flags': np.zeros(2, bool),
    }


def test_one_frame_is_the_image_itself_in_any_place():
    places = set()
    for _ in range(40):
        results = _results()
        frames = ImageToClip()(results)['img']
        same = [i for i, frame in enumerate(frames) if (frame == results['img']).all()]
        assert len(same) == 1
        places.add(same[0])
    assert places == {0, 1, 2, 3}


def test_masks_follow_the_picture():
    for _ in range(10):
        out = ImageToClip(**PLAIN)(_results())
        for image, masks, ids in zip(out['img'], out['gt_masks'], out['gt_instances_ids']):
            assert len(masks) == len(ids)
            for mask, number in zip(masks.masks, ids):
                value = {1: 200, 2: 120}[number]
                if mask.sum() < 16:  # all border, where interpolation mixes colours
                    continue
                assert np.median(image[mask > 0]) == pytest.approx(value, abs=10)


def test_objects_can_leave():
    seen = set()
    for _ in range(60):
        out = ImageToClip(translation=0.5, **PLAIN)(_results())
        for ids, labels, masks in zip(
            out['gt_instances_ids'], out['gt_bboxes_labels'], out['gt_masks']
        ):
            assert labels.tolist() == [number + 2 for number in ids]
            assert len(masks) == len(ids)
            seen.add(tuple(ids.tolist()))
    assert {(1, 2), (1,)} <= seen


def test_colours_change_within_their_range():
    image = _results()['img']
    lowest, highest = 0, 0
    for _ in range(30):
        out = ImageToClip(**{**PLAIN, **STILL, 'brightness': 40})(_results())
        change = [int(np.median(frame.astype(int) - image)) for frame in out['img']]
        lowest, highest = min(lowest, *change), max(highest, *change)
        assert all((mask.masks == out['gt_masks'][0].masks).all() for mask in out['gt_masks'])
    assert -41 <= lowest < -25
    assert 25 < highest <= 41


def test_blur_keeps_the_mean():
    augment = ImageToClip(**{**PLAIN, **STILL, 'blur_prob': 1})
    blurred = 0
    for _ in range(10):
        kernel = augment._blur_kernel()
        assert kernel.sum() == pytest.approx(1)
        assert kernel.shape in {(7, 7), (9, 9)}
        frames = augment(_results(2))['img']
        blurred += (frames[0] != frames[1]).any()
    assert blurred == 10


def test_motion_stays_within_its_range():
    transform = ImageToClip(perspective=0)
    for _ in range(100):
        matrix = transform.random_matrix(48, 64)
        angle = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
        assert abs(angle) <= 20.001
        centre = matrix @ [31.5, 23.5, 1]
        assert abs(centre[0] - 31.5) <= 6.401
        assert abs(centre[1] - 23.5) <= 4.801


def test_records():
    out = ImageToClip(num_frames=3)(_results())
    assert {len(value) for value in out.values()} == {3}
    assert out['frame_id'] == [0, 1, 2]
    assert out['img_id'] == [5] * 3
    assert out['ori_video_length'] == [3] * 3
    assert len(ImageToClip(num_frames=1)(_results())['img']) == 1


def test_no_objects_and_wrong_arguments():
    results = _results()
    results['gt_masks'] = BitmapMasks(np.zeros((0, 48, 64), np.uint8), 48, 64)
    for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_instances_ids', 'gt_ignore_flags'):
        results[key] = results[key][:0]
    assert all(len(masks) == 0 for masks in ImageToClip()(results)['gt_masks'])
    with pytest.raises(ValueError, match='odd'):
        ImageToClip(blur_sizes=(4,))
