import base64
import json

import cv2
import numpy as np
import pytest

from mmdevis.datasets import AnnotationError
from mmdevis.datasets.converters import labelme_to_ytvis
from mmdevis.datasets.validation import validate

SQUARE = [[2, 1], [10, 1], [10, 5], [2, 5]]


def _shape(label='dog', group=1, points=SQUARE, kind='polygon', **more):
    return {'label': label, 'group_id': group, 'points': points, 'shape_type': kind, **more}


def _write(folder, frames):
    folder.mkdir(parents=True, exist_ok=True)
    for frame, shapes in frames.items():
        cv2.imwrite(str(folder / f'{frame}.png'), np.zeros((24, 32, 3), np.uint8))
        if shapes is not None:
            record = {'shapes': shapes, 'imageHeight': 24, 'imageWidth': 32}
            (folder / f'{frame}.json').write_text(json.dumps(record))


def _areas(data):
    return [track['areas'] for track in data['annotations']]


def test_tracks_by_group_and_by_label(tmp_path):
    _write(tmp_path / 'v2', {'9': [_shape()], '10': [_shape(), _shape(group=2)], '11': None})
    _write(tmp_path / 'v10', {'0': [_shape('cat', None)], '1': [_shape('cat', None)]})
    data = labelme_to_ytvis(tmp_path)
    validate(data, 'x', require_annotations=True)
    assert [v['file_names'] for v in data['videos']] == [
        ['v2/9.png', 'v2/10.png', 'v2/11.png'],
        ['v10/0.png', 'v10/1.png'],
    ]
    assert _areas(data) == [[32, 32, None], [None, 32, None], [32, 32]]
    assert [c['name'] for c in data['categories']] == ['cat', 'dog']
    assert [t['category_id'] for t in data['annotations']] == [2, 2, 1]


def test_one_video_without_folder(tmp_path):
    _write(tmp_path, {'0': [_shape()]})
    assert labelme_to_ytvis(tmp_path)['videos'][0]['file_names'] == ['0.png']


def test_pieces_of_one_object_are_joined(tmp_path):
    other = [[20, 10], [24, 10], [24, 14], [20, 14]]
    _write(tmp_path, {'0': [_shape(), _shape(points=other)]})
    assert _areas(labelme_to_ytvis(tmp_path)) == [[32 + 16]]


def test_shapes(tmp_path):
    mask = cv2.imencode('.png', np.array([[0, 255, 255], [0, 0, 255]], np.uint8))[1]
    coded = base64.b64encode(mask.tobytes()).decode()
    _write(
        tmp_path,
        {
            '0': [
                _shape(group=1, points=[[2, 1], [10, 5]], kind='rectangle'),
                _shape(group=2, points=[[16, 12], [16, 17]], kind='circle'),
                _shape(group=3, points=[[30, 20], [32, 21]], kind='mask', mask=coded),
                _shape(group=4, kind=None),
            ]
        },
    )
    rectangle, circle, placed, polygon = (areas[0] for areas in _areas(labelme_to_ytvis(tmp_path)))
    assert (rectangle, polygon) == (32, 32)
    assert circle == pytest.approx(np.pi * 25, rel=0.1)
    assert placed == 1  # the right column is outside


@pytest.mark.parametrize(
    ('shapes', 'words'),
    [
        ([_shape(group=None), _shape(group=None)], r'0.json: shape 1 \(dog\).*"group_id"'),
        ([_shape(points=SQUARE[:2])], r'0.json: shape 0 \(dog\).*polygon with 2 points'),
        ([_shape(kind='line')], r'0.json: shape 0 \(dog\).*a line'),
        ([_shape(), _shape('cat')], r"0.json: shape 1 \(cat\).*track .*'cat'.*'dog'"),
        ([_shape('cow')], r"0.json: shape 0 \(cow\).*'cow' is none"),
    ],
)
def test_bad_shapes(tmp_path, shapes, words):
    _write(tmp_path, {'0': shapes})
    with pytest.raises(AnnotationError, match=words):
        labelme_to_ytvis(tmp_path, classes=['cat', 'dog'])


def test_bad_files(tmp_path):
    with pytest.raises(AnnotationError, match='has no images'):
        labelme_to_ytvis(tmp_path)
    _write(tmp_path, {'0': [_shape()]})
    (tmp_path / '1.json').write_text('{}')
    with pytest.raises(AnnotationError, match=r'1.json: there is no image'):
        labelme_to_ytvis(tmp_path)
    cv2.imwrite(str(tmp_path / '1.png'), np.zeros((24, 32, 3), np.uint8))
    with pytest.raises(AnnotationError, match=r'1.json: is no labelme file'):
        labelme_to_ytvis(tmp_path)
    (tmp_path / '1.json').write_text('{"shapes": [], "imageHeight": 24, "imageWidth": 99}')
    with pytest.raises(AnnotationError, match=r'1.json.*\(24, 99\).*\(24, 32\)'):
        labelme_to_ytvis(tmp_path)


def test_command_line(tmp_path, run_tool):
    _write(tmp_path / 'v', {'0': [_shape()]})
    out = tmp_path / 'out.json'
    run_tool('labelme2ytvis.py', tmp_path, out, '--classes', 'cat', 'dog')
    assert [c['name'] for c in json.loads(out.read_text())['categories']] == ['cat', 'dog']
    with pytest.raises(SystemExit, match="'dog' is none"):
        run_tool('labelme2ytvis.py', tmp_path, tmp_path / 'b.json', '--classes', 'cat')
    assert not (tmp_path / 'b.json').exists()
