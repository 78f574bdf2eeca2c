"""Pictures of tracks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils

from mmdevis.visualization import TrackPainter, side_by_side, track_colour, track_palette


@pytest.fixture
def frame():
    return np.full((120, 200, 3), 100, np.uint8)


@pytest.fixture
def masks():
    masks = np.zeros((2, 120, 200), bool)
    masks[0, 40:80, 20:70] = True
    masks[1, 50:110, 120:180] = True
    return masks


def rle(mask: np.ndarray) -> dict:
    return mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))


def test_palette_is_fixed_and_separated():
    palette = track_palette()
    assert track_colour(0) == (0, 127, 255) and track_colour(48) == track_colour(0)
    assert track_colour(-1) == track_colour(47)
    assert len({tuple(c) for c in palette.tolist()}) == 48
    lab = cv2.cvtColor(palette[None].astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[0]
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1000 * np.eye(48)
    # 2.3 is a just noticeable difference.
    assert distance[:12, :12].min() > 40
    assert distance.min() > 15
    with pytest.raises(ValueError, match='read-only'):
        palette[0] = 0


@pytest.mark.parametrize('alpha', [0.0, 0.5, 1.0])
def test_masks_are_blended(frame, masks, alpha):
    painter = TrackPainter(alpha=alpha, draw_boxes=False, draw_labels=False)
    drawn = painter.paint(frame, [7, 8], [0, 0], masks)
    expected = 100 * (1 - alpha) + alpha * np.array(track_colour(7))
    assert np.abs(drawn[60, 45] - expected).max() <= 1
    assert (drawn[10:30] == 100).all()


def test_frame_is_not_changed_and_no_object_draws_nothing(frame, masks):
    before = frame.copy()
    TrackPainter(['a']).paint(frame, [1, 2], [0, 0], masks, [0.5, 0.6])
    assert (frame == before).all()
    assert (TrackPainter().paint(frame, [], [], [], []) == frame).all()


def test_mask_forms_are_equivalent(frame, masks):
    painter = TrackPainter(['cat', 'dog'])
    ids, labels, scores = [3, 4], [0, 1], [0.9, 0.8]
    drawn = painter.paint(frame, ids, labels, masks, scores)
    for other in (
        torch.from_numpy(masks),
        [rle(m) for m in masks],
        [{**rle(m), 'counts': rle(m)['counts'].decode()} for m in masks],
    ):
        assert (painter.paint(frame, ids, labels, other, scores) == drawn).all()
    as_tensors = (torch.tensor(ids), torch.tensor(labels), masks, torch.tensor(scores))
    assert (painter.paint(frame, *as_tensors) == drawn).all()


def test_colour_depends_on_the_track_only(frame, masks):
    painter = TrackPainter(draw_labels=False, draw_boxes=False)
    both = painter.paint(frame, [5, 9], [0, 1], masks)
    swapped = painter.paint(frame, [9, 5], [1, 0], masks[::-1])
    assert (both == swapped).all()


def test_small_object_in_front_of_a_large_one_is_visible(frame):
    large, small = np.zeros((2, 120, 200), bool)
    large[10:110, 10:190] = True
    small[50:70, 90:110] = True
    painter = TrackPainter(alpha=1, draw_labels=False, draw_boxes=False)
    drawn = painter.paint(frame, [0, 1], [0, 0], np.stack([small, large]))
    assert tuple(drawn[60, 100]) == track_colour(0)
    assert tuple(drawn[20, 20]) == track_colour(1)


def test_weak_and_empty_objects_are_left_out(frame, masks):
    painter = TrackPainter(score_thr=0.5)
    assert (painter.paint(frame, [0, 1], [0, 0], masks, [0.4, 0.3]) == frame).all()
    empty = np.zeros_like(masks)
    for form in (empty, [rle(m) for m in empty]):
        assert (painter.paint(frame, [0, 1], [0, 0], form, [0.9, 0.9]) == frame).all()


@pytest.mark.parametrize('size, factor', [((120, 200), 3), ((360, 500), 1), ((359, 500), 2)])
def test_small_frames_are_enlarged_by_a_whole_factor(size, factor):
    frame = np.full((*size, 3), 100, np.uint8)
    mask = np.zeros((1, *size), bool)
    mask[0, 50:90, 30:90] = True
    painter = TrackPainter(min_side=360, alpha=1, draw_boxes=False, draw_labels=False)
    drawn = painter.paint(frame, [1], [0], mask)
    assert drawn.shape == (size[0] * factor, size[1] * factor, 3)
    enlarged = mask[0].repeat(factor, 0).repeat(factor, 1)
    coloured = (drawn == track_colour(1)).all(-1)
    assert coloured[enlarged].all()
    # The outline's smooth edge may reach a pixel further.
    assert not coloured[~cv2.dilate(enlarged.astype('u1'), np.ones((5, 5))).astype(bool)].any()


def test_labels_do_not_cover_each_other_where_there_is_room():
    frame = np.zeros((300, 500, 3), np.uint8)
    masks = np.zeros((4, 300, 500), bool)
    masks[:, 100:160, 100:260] = True  # four objects at one place
    painter = TrackPainter(['somebody'], alpha=0, draw_boxes=False)
    drawn = painter.paint(frame, [0, 1, 2, 3], [0] * 4, masks)
    areas = [(drawn == track_colour(i)).all(-1).sum() for i in range(4)]
    assert min(areas) > 0.8 * max(areas)


@pytest.mark.parametrize('corner', [(0, 0), (0, 190), (110, 0), (110, 190)])
def test_labels_stay_inside_the_frame(frame, corner):
    y, x = corner
    mask = np.zeros((1, 120, 200), bool)
    mask[0, y : y + 10, x : x + 10] = True
    painter = TrackPainter(['cat'], alpha=0, draw_boxes=False)
    label_only = painter.paint(frame, [3], [0], mask, [0.5])
    coloured = (label_only == track_colour(3)).all(-1)
    assert coloured.sum() > 300


def test_unknown_label_and_other_alphabets(frame, masks):
    drawn = TrackPainter(['Löwe']).paint(frame, [0, 1], [0, 5], masks)
    assert (drawn != frame).any()


def test_text_names_track_class_and_score():
    painter = TrackPainter(['cat'])
    assert painter._text(12, 0, 0.876) == '12 cat 0.88'
    assert painter._text(12, 3, None) == '12 class 3'


@pytest.mark.parametrize(
    'change, message',
    [
        ({'frame': np.zeros((4, 4), np.uint8)}, 'uint8 frame'),
        ({'frame': np.zeros((120, 200, 3), np.float32)}, 'uint8 frame'),
        ({'track_ids': [1]}, 'lengths'),
        ({'scores': [0.5] * 3}, 'lengths'),
        ({'masks': np.zeros((2, 12, 20), bool)}, r'mask is \(12, 20\), the frame \(120, 200\)'),
        ({'masks': [rle(np.zeros((12, 20)))] * 2}, r'mask is \(12, 20\), the frame \(120, 200\)'),
    ],
)
def test_wrong_input(frame, masks, change, message):
    arguments = {'frame': frame, 'track_ids': [1, 2], 'labels': [0, 0], 'masks': masks, **change}
    with pytest.raises(ValueError, match=message):
        TrackPainter().paint(**arguments)


def test_wrong_alpha():
    with pytest.raises(ValueError, match='alpha'):
        TrackPainter(alpha=2)


def test_side_by_side():
    left, right = np.full((60, 80, 3), 50, np.uint8), np.full((60, 80, 3), 200, np.uint8)
    joined = side_by_side(left, right)
    assert (joined[-60:, :80] == 50).all() and (joined[-60:, -80:] == 200).all()
    bar = joined[:-60]
    assert bar[:, :80].max() > 200 and bar[:, -80:].max() > 200  # the titles
    with pytest.raises(ValueError, match='different shapes'):
        side_by_side(left, right[:50])
