import pytest
from mmdet.datasets import CocoDataset

from mmdevis.datasets import OVIS_CLASSES, map_by_name, youtube_vis_classes

COCO = CocoDataset.METAINFO['classes']


@pytest.mark.parametrize(
    ('targets', 'size', 'pairs'),
    [
        (youtube_vis_classes('2019'), 19, {'car': 'sedan', 'motorcycle': 'motorbike'}),
        (youtube_vis_classes('2021'), 21, {'car': 'car', 'frisbee': 'flying_disc'}),
        (OVIS_CLASSES, 18, {'bus': 'Vehicle', 'truck': 'Vehicle', 'motorcycle': 'Motorcycle'}),
    ],
)
def test_coco_to_video_data_sets(targets, size, pairs):
    mapping = map_by_name(COCO, targets)
    assert len(mapping) == size
    assert pairs.items() <= mapping.items()
    assert set(mapping.values()) <= set(targets)
    assert mapping['person'].lower() == 'person'
    # A computer mouse is no animal.
    assert 'mouse' not in mapping


def test_spelling():
    assert map_by_name(['Tennis racket', 'x'], ['tennis_racket']) == {
        'Tennis racket': 'tennis_racket'
    }


def test_own_pairs_come_first():
    mapping = map_by_name(COCO, ('car', 'bike'), {'bicycle': 'bike', 'truck': 'car'})
    assert mapping == {'car': 'car', 'bicycle': 'bike', 'truck': 'car'}
    for wrong in ({'bicicle': 'bike'}, {'bicycle': 'bikes'}):
        with pytest.raises(ValueError, match='category_map.*bi'):
            map_by_name(COCO, ('car', 'bike'), wrong)
