import json
import shutil

import cv2
import numpy as np
import pytest

from mmdevis.datasets.converters import ytvis_to_frames
from mmdevis.datasets.inspection import contact_sheet, count, invisible_tracks
from mmdevis.datasets.parsing import parse_videos


@pytest.fixture
def videos(ytvis):
    return parse_videos(ytvis_to_frames(ytvis), {3: 0, 7: 1})


def test_counts(videos):
    assert count(videos, ['circle', 'square']) == {
        'videos': 3,
        'frames': 8,
        'tracks': 3,
        'masks': 9,
        'frames_without_object': 1,
        'videos_without_object': 1,
        'shortest': 1,
        'longest': 5,
        'largest_crowd': 2,
        'sizes': {'24 x 32': 3},
        'tracks_per_class': {'circle': 1, 'square': 2},
    }


def test_tracks_that_are_never_seen(ytvis):
    assert list(invisible_tracks(ytvis, 'a.json')) == []
    ytvis['annotations'][1]['segmentations'] = [None] * 5
    (problem,) = invisible_tracks(ytvis, 'a.json')
    assert 'video 1, annotation 2' in str(problem)


def test_contact_sheet(videos, tiny_root):
    folder = str(tiny_root / 'JPEGImages')
    sheet = contact_sheet(videos, folder, ['circle', 'square'], columns=4, tile_width=64)
    assert sheet.shape == (3 * 48, 4 * 64, 3)
    # Where there is an object, colour; where there is none, the grey picture (and white text).
    spread = np.ptp(sheet.astype(int), axis=2)
    assert (spread[:96] > 50).any()
    assert (spread[96:] < 5).all()


def _broken_copy(tiny_root, tmp_path):
    root = tmp_path / 'data'
    shutil.copytree(tiny_root, root)
    (root / 'JPEGImages/v1/00001.png').unlink()
    path = root / 'JPEGImages/v2/00000.png'
    path.write_bytes(path.read_bytes()[:60])
    cv2.imwrite(str(root / 'JPEGImages/v3/00000.png'), np.zeros((4, 4, 3), np.uint8))
    return root


def test_check_of_a_good_set(tiny_root, tmp_path, run_tool, capsys):
    images, sheet = tiny_root / 'JPEGImages', tmp_path / 'sheets/a.jpg'
    run_tool('check_dataset.py', tiny_root / 'train.json', '--images', images, '--sheet', sheet)
    out = capsys.readouterr().out
    assert 'No problems' in out
    assert 'circle: 1, square: 2' in out
    assert cv2.imread(str(sheet)).shape[1] == 6 * 240
    assert [p.name for p in sheet.parent.iterdir()] == ['a.jpg']


def test_check_finds_every_bad_picture(tiny_root, tmp_path, run_tool, capsys):
    root = _broken_copy(tiny_root, tmp_path)
    with pytest.raises(SystemExit, match='3 problem'):
        run_tool('check_dataset.py', root / 'train.json', '--images', root / 'JPEGImages')
    out = capsys.readouterr().out
    assert 'video 1, frame 1, file' in out
    assert 'does not exist' in out
    assert 'truncated' in out
    assert 'video 3, frame 0' in out
    # Without --images only the json is read.
    run_tool('check_dataset.py', root / 'train.json')


def test_check_finds_every_fault_of_the_json(ytvis, tmp_path, run_tool, capsys):
    for track in ytvis['annotations']:
        track['category_id'] = 50
    ytvis['annotations'][0]['segmentations'].pop()
    (tmp_path / 'a.json').write_text(json.dumps(ytvis))
    with pytest.raises(SystemExit, match='4 problem'):
        run_tool('check_dataset.py', tmp_path / 'a.json')
    assert capsys.readouterr().out.count('category_id') == 3


def test_arguments(tiny_root, tmp_path, run_tool):
    with pytest.raises(SystemExit, match='needs --images'):
        run_tool('check_dataset.py', tiny_root / 'train.json', '--sheet', tmp_path / 'x.jpg')
    with pytest.raises(SystemExit, match='gone.json'):
        run_tool('check_dataset.py', tmp_path / 'gone.json')
