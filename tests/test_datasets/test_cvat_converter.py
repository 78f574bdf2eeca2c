import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmdevis.datasets import AnnotationError
from mmdevis.datasets.converters import cvat_to_ytvis, mots_to_ytvis
from mmdevis.datasets.validation import validate

SQUARE = '2.0,1.0;10.0,1.0;10.0,5.0;2.0,5.0'
IMAGES = f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <image id="0" name="b/f10.jpg" width="32" height="24">
    <polygon label="dog" occluded="0" points="{SQUARE}" z_order="0" group_id="1">
      <attribute name="track">7</attribute></polygon>
  </image>
  <image id="1" name="b/f9.jpg" width="32" height="24">
    <box label="dog" xtl="2" ytl="1" xbr="10" ybr="5" group_id="1">
      <attribute name="track">7</attribute></box>
    <mask label="cat" rle="1, 2, 3" left="4" top="6" width="3" height="2" group_id="2">
      <attribute name="track">8</attribute></mask>
    <tag label="outdoor"/>
  </image>
  <image id="2" name="a/f0.jpg" width="40" height="20"/>
</annotations>"""
VIDEO = f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><name>walk</name><size>4</size><start_frame>0</start_frame>
    <original_size><width>32</width><height>24</height></original_size></task></meta>
  <track id="0" label="dog">
    <polygon frame="1" outside="0" occluded="0" keyframe="1" points="{SQUARE}"/>
    <polygon frame="2" outside="1" occluded="0" keyframe="1" points="{SQUARE}"/>
  </track>
  <track id="5" label="dog">
    <box frame="3" outside="0" occluded="0" keyframe="1" xtl="0" ytl="0" xbr="4" ybr="4"/>
  </track>
</annotations>"""


def _convert(tmp_path, text, **kwargs):
    path = tmp_path / 'task.xml'
    path.write_text(text)
    data = cvat_to_ytvis([path], **kwargs)
    validate(data, 'x', require_annotations=True)
    return data


def _areas(data):
    return [track['areas'] for track in data['annotations']]


@pytest.mark.parametrize('attribute', [None, 'track'])
def test_images(tmp_path, attribute):
    data = _convert(tmp_path, IMAGES, track_attribute=attribute)
    assert [v['file_names'] for v in data['videos']] == [['b/f9.jpg', 'b/f10.jpg'], ['a/f0.jpg']]
    assert [(v['height'], v['width']) for v in data['videos']] == [(24, 32), (20, 40)]
    assert [c['name'] for c in data['categories']] == ['cat', 'dog']
    assert _areas(data) == [[32, 32], [2, None]]
    cat = mask_utils.decode(data['annotations'][1]['segmentations'][0])
    assert np.argwhere(cat).tolist() == [[6, 5], [6, 6]]


def test_video(tmp_path):
    data = _convert(tmp_path, VIDEO, frame_name='{:04d}.jpg', classes=['cat', 'dog'])
    (video,) = data['videos']
    assert video['file_names'] == [f'walk/000{i}.jpg' for i in range(4)]
    assert _areas(data) == [[None, 32, None, None], [None, None, None, 16]]
    assert [track['category_id'] for track in data['annotations']] == [2, 2]


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        (IMAGES.replace(' group_id="2"', ''), 'b/f9.jpg, shape 1 .cat.*group_id'),
        (IMAGES.replace('rle="1, 2, 3"', 'rle="1, 2"'), 'b/f9.jpg, shape 1 .cat.*3 pixels'),
        (IMAGES.replace('top="6"', 'top="23"'), 'b/f9.jpg, shape 1 .cat.*does not fit'),
        (IMAGES.replace('group_id="2"', 'group_id="1"'), "b/f9.jpg, shape 1.*'cat'.*'dog'"),
        (IMAGES.replace('polygon', 'polyline'), 'b/f10.jpg, shape 0 .dog.*polyline'),
        (IMAGES.replace(SQUARE, '1,1;2,2'), 'b/f10.jpg, shape 0 .dog.*polygon'),
        (IMAGES.replace('"b/f9.jpg" width="32"', '"b/f9.jpg" width="33"'), 'b/f10.jpg.*one size'),
        (IMAGES.replace('height="24"', ''), 'missing or is no number'),
        (VIDEO.replace('frame="3"', 'frame="4"'), 'track 5 .dog., frame 4.*4 frames'),
        (VIDEO.replace('original_size', 'other'), 'original_size'),
        ('<annotations></annotations>', 'nothing is annotated'),
        ('<other/>', '<other>'),
        ('<annotations>', 'not valid xml'),
    ],
)
def test_bad_files(tmp_path, text, words):
    with pytest.raises(AnnotationError, match=f'task.xml.*{words}'):
        _convert(tmp_path, text)


def test_unknown_category(tmp_path):
    with pytest.raises(AnnotationError, match="'dog' is none of the classes: cat"):
        _convert(tmp_path, VIDEO, classes=['cat'])


@pytest.fixture
def mots_root(tmp_path):
    for name in ('one', 'two'):
        folder = tmp_path / name
        (folder / 'images').mkdir(parents=True)
        (folder / 'instances').mkdir()
        (folder / 'instances/labels.txt').write_text('car\nperson\n')
        for frame in range(3):
            cv2.imwrite(str(folder / f'images/{frame}.jpg'), np.zeros((24, 32, 3), np.uint8))
        values = np.zeros((24, 32), np.uint16)
        values[:2, :3] = 2007
        values[5, 5] = 1000
        values[9] = 10000
        cv2.imwrite(str(folder / 'instances/1.png'), values)
    return tmp_path


def test_mots(mots_root):
    data = mots_to_ytvis([mots_root / 'one', mots_root / 'two'])
    validate(data, 'x', require_annotations=True)
    assert data['videos'][1]['file_names'] == [f'two/images/{i}.jpg' for i in range(3)]
    assert [c['name'] for c in data['categories']] == ['car', 'person']
    assert _areas(data) == 2 * [[None, 1, None], [None, 6, None]]
    assert [t['category_id'] for t in data['annotations']] == [1, 2, 1, 2]


def test_bad_mots(mots_root):
    folder = mots_root / 'one'
    values = np.full((24, 32), 3001, np.uint16)
    cv2.imwrite(str(folder / 'instances/2.png'), values)
    with pytest.raises(AnnotationError, match=r'one/instances/2.png: value 3001.*2 lines'):
        mots_to_ytvis([folder])
    cv2.imwrite(str(folder / 'instances/2.png'), values[:, :5])
    with pytest.raises(AnnotationError, match=r'one/instances/2.png.*24 x 32'):
        mots_to_ytvis([folder])
    (mots_root / 'two/instances/labels.txt').write_text('person\ncar\n')
    with pytest.raises(AnnotationError, match=r'two/instances/labels.txt.*differs'):
        (folder / 'instances/2.png').unlink()
        mots_to_ytvis([folder, mots_root / 'two'])
    (folder / 'instances/labels.txt').unlink()
    with pytest.raises(AnnotationError, match=r'one/instances/labels.txt.*does not exist'):
        mots_to_ytvis([folder])


def test_command_line(mots_root, tmp_path, run_tool):
    (tmp_path / 'task.xml').write_text(IMAGES)
    run_tool('cvat2ytvis.py', tmp_path / 'task.xml', '--out', tmp_path / 'a.json')
    assert len(json.loads((tmp_path / 'a.json').read_text())['annotations']) == 2
    run_tool('cvat2ytvis.py', mots_root / 'one', mots_root / 'two', '--out', tmp_path / 'b.json')
    assert len(json.loads((tmp_path / 'b.json').read_text())['annotations']) == 4
    for sources in ([tmp_path / 'gone.xml'], [mots_root / 'one', tmp_path / 'task.xml']):
        with pytest.raises(SystemExit):
            run_tool('cvat2ytvis.py', *sources, '--out', tmp_path / 'c.json')
    assert not (tmp_path / 'c.json').exists()
