"""The objects of one video out of an annotation file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmdevis.datasets.video_truth import read_video_truth
from mmdevis.evaluation.functional import VISFormatError


@pytest.fixture
def annotations():
    square = np.zeros((6, 8), np.uint8, order='F')
    square[1:4, 2:5] = 1
    rle = mask_utils.encode(square)
    rle['counts'] = rle['counts'].decode()
    videos = [
        dict(id=4, height=6, width=8, length=2, file_names=['a/0.jpg', 'a/1.jpg']),
        dict(id=5, height=6, width=8, length=2, file_names=['sub/b/0.jpg', 'sub/b/1.jpg']),
        dict(id=6, height=6, width=8, length=2, name='c'),
    ]
    return dict(
        videos=videos,
        categories=[dict(id=9, name='dog'), dict(id=3, name='cat')],
        annotations=[
            dict(id=1, video_id=4, category_id=9, segmentations=[rle, None], iscrowd=0),
            dict(id=2, video_id=4, category_id=3, segmentations=[None, [[0, 0, 4, 0, 4, 4]]]),
            # Another video's fault is no concern of this one.
            dict(id=3, video_id=5, category_id=9, segmentations=[rle]),
        ],
    )


@pytest.fixture
def write(tmp_path):
    def function(content) -> str:
        path = tmp_path / 'instances.json'
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return function


def test_objects_of_a_video(annotations, write):
    truth = read_video_truth(write(annotations), 'a')
    assert (truth.name, truth.video_id, truth.size) == ('a', 4, (6, 8))
    assert truth.class_names == ('cat', 'dog') and truth.category_ids == (3, 9)
    assert [(t.track_id, t.label, sorted(t.segmentations)) for t in truth.tracks] == [
        (0, 1, [0]),
        (1, 0, [1]),
    ]
    assert mask_utils.area(truth.tracks[0].segmentations[0]) == 9
    assert truth.categories_of(('dog', 'cat')) == (9, 3)
    with pytest.raises(ValueError, match="no category 'owl'; it has 'cat', 'dog'"):
        truth.categories_of(('dog', 'owl'))


@pytest.mark.parametrize('name, video_id', [('a', 4), ('c', 6), ('4', 4), ('6', 6)])
def test_names_of_a_video(annotations, write, name, video_id):
    assert read_video_truth(write(annotations), name).video_id == video_id


def test_a_single_video_needs_no_name(annotations, write):
    annotations['videos'] = annotations['videos'][:1]
    assert read_video_truth(write(annotations), 'whatever').video_id == 4


def test_a_folder_called_like_the_number_of_another_video(annotations, write):
    annotations['videos'][2]['name'] = '4'
    assert read_video_truth(write(annotations), '4').video_id == 6


def test_faulty_files(annotations, write, tmp_path):
    with pytest.raises(VISFormatError, match="has no video 'x'. It has a, b, c; .*--gt-video"):
        read_video_truth(write(annotations), 'x')
    with pytest.raises(VISFormatError, match='annotation 3.*has 1 entries but video 5 has 2'):
        read_video_truth(write(annotations), 'b')
    annotations['videos'][2]['name'] = 'a'
    with pytest.raises(VISFormatError, match="has 2 videos 'a'"):
        read_video_truth(write(annotations), 'a')
    annotations['annotations'] = None
    with pytest.raises(VISFormatError, match="'annotations' is null"):
        read_video_truth(write(annotations), 'b')
    for content in ('{', '[]', '{"images": []}'):
        with pytest.raises(VISFormatError, match='instances.json'):
            read_video_truth(write(content), 'a')
    with pytest.raises(FileNotFoundError):
        read_video_truth(tmp_path / 'nowhere.json', 'a')
