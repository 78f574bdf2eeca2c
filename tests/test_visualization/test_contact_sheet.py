"""Contact sheets."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

from mmdevis.visualization import (
    TrackPainter,
    choose_frames,
    contact_sheet,
    draw_tile,
    renumber_tracks,
    track_colour,
    write_picture,
)


@given(st.integers(1, 300), st.integers(1, 40))
def test_chosen_frames_are_spread_over_the_video(length, count):
    frames = choose_frames(length, count)
    assert len(frames) == min(length, count)
    assert frames == sorted(set(frames))
    assert frames[0] == 0 and frames[-1] < length
    if count > 1:
        assert frames[-1] == length - 1
        gaps = np.diff(frames)
        assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_all_frames_and_none():
    assert choose_frames(3, None) == [0, 1, 2]
    with pytest.raises(ValueError, match='at least one'):
        choose_frames(3, 0)


@pytest.mark.parametrize('form', ['rle', 'bitmaps', 'tensor'])
@pytest.mark.parametrize('width', [40, 160])
def test_tile_has_the_objects_where_they_are(form, width):
    frame = np.full((60, 80, 3), 90, np.uint8)
    masks = np.zeros((1, 60, 80), np.uint8)
    masks[0, 20:40, 10:50] = 1
    forms = {
        'rle': [mask_utils.encode(np.asfortranarray(masks[0]))],
        'bitmaps': BitmapMasks(masks, 60, 80),
        'tensor': torch.from_numpy(masks).bool(),
    }
    objects = InstanceData(instances_id=[3], labels=np.array([0]), masks=forms[form])
    painter = TrackPainter(alpha=1, draw_boxes=False, draw_labels=False)
    tile = draw_tile(frame, objects, painter, width)
    assert tile.shape == (width * 3 // 4, width, 3)
    expected = cv2.resize(masks[0], (width, width * 3 // 4), interpolation=cv2.INTER_NEAREST)
    assert (tile[expected > 0] == track_colour(3)).all()
    outside = cv2.dilate(expected, np.ones((7, 7))) == 0
    assert (np.abs(tile[outside].astype(int) - 90) <= 1).all()


def test_tile_without_objects_and_with_a_wrong_mask():
    frame = np.full((60, 80, 3), 90, np.uint8)
    none = InstanceData(instances_id=[], labels=[], masks=[])
    for objects in (None, none):
        assert (draw_tile(frame, objects, TrackPainter(), 40) == 90).all()
    wrong = InstanceData(instances_id=[0], labels=[0], masks=torch.zeros(1, 30, 40))
    with pytest.raises(ValueError, match=r'mask is \(30, 40\), the frame \(60, 80\)'):
        draw_tile(frame, wrong, TrackPainter(), 40)


@given(st.integers(1, 9), st.integers(1, 3), st.one_of(st.none(), st.integers(1, 12)))
def test_sheet_holds_every_picture_of_every_group_once(count, groups, columns):
    level = iter(range(60, 255))
    pictures = {
        f'group {g}': [np.full((40, 64, 3), next(level), np.uint8) for _ in range(count)]
        for g in range(groups)
    }
    sheet = contact_sheet(pictures, [''] * count, columns)
    for number, value in enumerate(range(60, 60 + groups * count)):
        rows, found = np.nonzero((sheet == value).all(-1))
        # Titles' smooth letters may hit a grey level: picture pixels are many more.
        assert len(rows) >= 40 * 64, number
    assert (sheet != 24).any(-1).sum() >= groups * count * 40 * 64


def test_frames_of_groups_stand_in_the_same_order_side_by_side():
    colours = [(50, 0, 0), (60, 0, 0), (70, 0, 0), (0, 50, 0), (0, 60, 0), (0, 70, 0)]
    pictures = [np.full((20, 30, 3), colour, np.uint8) for colour in colours]
    sheet = contact_sheet({'a': pictures[:3], 'b': pictures[3:]}, [''] * 3, columns=2)
    for group, offset in ((colours[:3], 0), (colours[3:], 64 + 12)):
        places = [np.argwhere((sheet == c).all(-1)).min(0).tolist() for c in group]
        top = places[0][0]
        assert places == [[top, offset], [top, offset + 34], [top + 24, offset]]


@pytest.mark.parametrize('count, expected', [(1, 1), (4, 2), (8, 2), (12, 3)])
def test_grids_are_about_square_and_full(count, expected):
    sheet = contact_sheet({'': [np.zeros((60, 100, 3), np.uint8)] * count}, [''] * count)
    assert sheet.shape[1] == expected * 104 - 4


def test_captions_and_titles_are_written():
    black = [np.zeros((40, 64, 3), np.uint8)] * 2
    sheet = contact_sheet({'title': black}, ['7', ''], columns=2)
    bar, tiles = sheet[:24], sheet[24:]
    assert bar.max() > 200
    assert tiles[:, :64].max() > 200 and tiles[:, 68:].max() == 0


@pytest.mark.parametrize(
    'groups, captions, message',
    [
        ({}, [], 'at least one'),
        ({'a': [np.zeros((4, 4, 3), np.uint8)]}, ['0', '1'], '2 captions'),
        (
            {'a': [np.zeros((4, 4, 3), np.uint8)], 'b': [np.zeros((4, 5, 3), np.uint8)]},
            ['0'],
            'different shapes',
        ),
    ],
)
def test_wrong_sheets(groups, captions, message):
    with pytest.raises(ValueError, match=message):
        contact_sheet(groups, captions)


def test_tracks_are_numbered_by_appearance():
    frames = [InstanceData(instances_id=ids) for ids in ([70, 12], [12], [90, 70])]
    assert [f.instances_id.tolist() for f in renumber_tracks(frames)] == [[0, 1], [1], [2, 0]]
    assert frames[0].instances_id == [70, 12]


def test_pictures_are_complete_or_not_there(tmp_path):
    picture = np.zeros((8, 8, 3), np.uint8)
    write_picture(picture, tmp_path / 'new/a.png')
    assert [p.name for p in (tmp_path / 'new').iterdir()] == ['a.png']
    with pytest.raises(OSError, match='ending'):
        write_picture(picture, tmp_path / 'a.nothing')
    assert [p.name for p in tmp_path.iterdir()] == ['new']
