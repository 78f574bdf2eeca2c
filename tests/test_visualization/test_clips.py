"""Sheets of clips as data sets give them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmdevis.visualization import TrackPainter, track_colour
from mmdevis.visualization.clips import clip_sheet

PIPELINES = Path(__file__).parents[2] / 'configs/devis/_base_/datasets/clip_pipelines.py'


def test_clip_after_the_augmentation_of_the_recipes(demo_config):
    config = demo_config.train_dataloader.dataset
    config.pipeline = Config.fromfile(PIPELINES).train_pipeline
    item = DATASETS.build(config)[0]
    assert item['inputs'].dtype == torch.float32  # colours were distorted
    sheet, name = clip_sheet(item, TrackPainter(), columns=4, tile_width=100)
    height = round(100 * item['inputs'].shape[2] / item['inputs'].shape[3])
    assert (sheet.shape, name) == ((24 + height, 4 * 104 - 4, 3), 'video_1')
    assert sheet[24:].std() > 10


@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32])
def test_image_with_objects_that_have_no_number(dtype):
    masks = torch.zeros(2, 40, 60, dtype=torch.bool)
    masks[0, 5:15, 5:15] = masks[1, 20:35, 30:50] = True
    sample = DetDataSample(metainfo=dict(img_id=7))
    sample.gt_instances = InstanceData(labels=torch.tensor([0, 1]), masks=masks)
    image = torch.full((3, 40, 60), 255, dtype=dtype)
    if dtype is torch.float32:
        image += 20  # beyond white
    painter = TrackPainter(alpha=1, draw_boxes=False, draw_labels=False)
    sheet, name = clip_sheet(dict(inputs=image, data_samples=sample), painter, tile_width=60)
    assert name == 'image_7'
    tile = sheet[24:]
    for number, mask in enumerate(masks.numpy()):
        assert (tile[mask] == track_colour(number)).all()
    assert (tile[0, 20:] == 255).all()


def test_frame_without_truth_is_drawn_as_it_is():
    image = torch.full((3, 40, 60), 9, dtype=torch.uint8)
    sample = DetDataSample(metainfo=dict(img_id=1))
    sheet, _ = clip_sheet(dict(inputs=image, data_samples=sample), TrackPainter(), tile_width=60)
    assert (sheet[24:42] == 9).all()
