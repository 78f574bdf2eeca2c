import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config

from mmdevis.datasets import AnnotationError, youtube_vis_classes

BASES = Path(__file__).parents[2] / 'configs/devis/_base_/datasets'


def _coco():
    square = [[8, 8, 24, 8, 24, 24, 8, 24]]
    objects = [(1, 1), (1, 3), (1, 64), (2, 64), (3, 1), (4, 1), (4, 1), (4, 3)]
    data = {
        'images': [
            {'id': i, 'file_name': f'{i}.jpg', 'height': 48, 'width': 64} for i in range(1, 6)
        ],
        'categories': [
            {'id': 1, 'name': 'person'},
            {'id': 3, 'name': 'car'},
            {'id': 64, 'name': 'potted plant'},
        ],
        'annotations': [
            {
                'id': number,
                'image_id': image,
                'category_id': category,
                'bbox': [8, 8, 16, 16],
                'area': 256,
                'segmentation': square,
                'iscrowd': int(image == 3),
            }
            for number, (image, category) in enumerate(objects, 1)
        ],
    }
    return data


@pytest.fixture
def coco_root(tmp_path):
    (tmp_path / 'coco.json').write_text(json.dumps(_coco()))
    for i in range(1, 6):
        image = np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f'{i}.jpg'), image)
    return tmp_path


def _build(root, **kwargs):
    cfg = {
        'type': 'CocoPseudoClipDataset',
        'classes': 'youtube_vis_2019',
        'num_frames': 3,
        'data_root': str(root),
        'ann_file': 'coco.json',
    }
    return DATASETS.build({**cfg, **kwargs})


def test_which_images_are_used(coco_root):
    # Image 2 has no object of a class, 3 only a crowd, 5 nothing.
    dataset = _build(coco_root)
    assert [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))] == [1, 4]
    person, sedan = (youtube_vis_classes('2019').index(name) for name in ('person', 'sedan'))
    assert dataset.get_cat_ids(0) == [person, sedan]
    assert dataset.get_cat_ids(1) == [person, person, sedan]
    assert dataset.metainfo == {'classes': youtube_vis_classes('2019')}
    assert len(_build(coco_root, max_instances=2)) == 1


def test_own_category_map(coco_root):
    dataset = _build(coco_root, classes=('person', 'tree'), category_map={'potted plant': 'tree'})
    assert [dataset.get_cat_ids(i) for i in range(len(dataset))] == [[0, 1], [1], [0, 0]]


@pytest.mark.parametrize('name', ['youtube_vis_2019', 'youtube_vis_2021', 'ovis'])
def test_joint_training_configs(coco_root, tiny_root, name):
    """The config as it is, with other files, classes and numbers of frames."""
    config = Config.fromfile(BASES / f'{name}_coco.py').train_dataloader.dataset
    assert config.type == 'ConcatDataset'
    video, images = config.datasets
    assert images.classes == name
    video.type = 'VISClipDataset'
    video.pop('dataset_version', None)
    classes = ('circle', 'square')
    video.update(
        data_root=str(tiny_root),
        ann_file='train.json',
        data_prefix={'img_path': 'JPEGImages'},
        num_frames=2,
    )
    images.update(
        data_root=str(coco_root),
        ann_file='coco.json',
        data_prefix={'img_path': ''},
        num_frames=2,
        classes=classes,
        category_map={'person': 'circle', 'car': 'square'},
    )
    dataset = DATASETS.build(config)
    assert len(dataset) == 6 + 2
    assert dataset.metainfo['classes'] == classes
    for index in (0, 7):
        sample = dataset[index]
        assert sample['inputs'].shape[:2] == (2, 3)
        assert len(sample['data_samples']) == 2
        for frame in sample['data_samples']:
            assert frame.gt_instances.masks.masks.shape[1:] == frame.img_shape
            assert 'instances' not in frame.metainfo


def test_bad_input(coco_root):
    with pytest.raises(ValueError, match='test on videos'):
        _build(coco_root, test_mode=True)
    with pytest.raises(ValueError, match='lvis'):
        _build(coco_root, classes='lvis')
    with pytest.raises(AnnotationError, match='coco.json.*category_map'):
        _build(coco_root, classes=('dragon',))
    with pytest.raises(AnnotationError, match='coco.json.*no usable'):
        _build(coco_root, max_instances=0)
    (coco_root / 'coco.json').write_text('{"images": []}')
    with pytest.raises(AnnotationError, match='coco.json.*"annotations"'):
        _build(coco_root)


def test_image_model_base(coco_root):
    config = Config.fromfile(BASES / 'coco_instance.py').train_dataloader.dataset
    config.update(data_root=str(coco_root), ann_file='coco.json', data_prefix={'img': ''})
    config.metainfo = {'classes': ('person', 'car', 'potted plant')}
    dataset = DATASETS.build(config)
    assert len(dataset) == 5
    sample = dataset[0]
    gt = sample['data_samples'].gt_instances
    assert gt.masks.masks.shape[1:] == sample['inputs'].shape[1:]
    assert len(gt.bboxes) == len(gt.labels) == len(gt.masks)
