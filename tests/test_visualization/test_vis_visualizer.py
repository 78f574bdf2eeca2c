"""The visualizer that MMDetection's hook uses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

from mmdevis.visualization import VISLocalVisualizer, track_colour


@pytest.fixture
def visualizer():
    visualizer = VISUALIZERS.build(
        {'type': 'VISLocalVisualizer', 'name': f'test-{np.random.rand()}', 'alpha': 1.0}
    )
    assert isinstance(visualizer, VISLocalVisualizer)
    visualizer.dataset_meta = {'classes': ('cat', 'dog')}
    return visualizer


def frame_sample(as_rle: bool, score: float = 0.9, **metainfo) -> DetDataSample:
    mask = np.zeros((1, 60, 80), bool)
    mask[0, 30:50, 20:60] = True
    rles = [mask_utils.encode(np.asfortranarray(m.astype(np.uint8))) for m in mask]
    sample = DetDataSample(metainfo=metainfo)
    sample.pred_track_instances = InstanceData(
        instances_id=torch.tensor([4]),
        labels=torch.tensor([1]),
        scores=torch.tensor([score]),
        bboxes=torch.tensor([[20.0, 30, 60, 50]]),
        masks=rles if as_rle else torch.from_numpy(mask),
    )
    return sample


def draw(visualizer, tmp_path, sample) -> np.ndarray:
    image = np.full((60, 80, 3), 100, np.uint8)
    out = tmp_path / 'drawn.png'
    visualizer.add_datasample('frame', image, sample, out_file=str(out), pred_score_thr=0.3)
    return cv2.imread(str(out))


@pytest.mark.parametrize('as_rle', [True, False])
def test_prediction_alone(visualizer, tmp_path, as_rle):
    drawn = draw(visualizer, tmp_path, frame_sample(as_rle))
    assert drawn.shape == (60, 80, 3)
    assert tuple(drawn[45, 40]) == track_colour(4)


def test_weak_prediction_is_not_drawn(visualizer, tmp_path):
    assert (draw(visualizer, tmp_path, frame_sample(True, score=0.1)) == 100).all()


def test_ground_truth_of_the_annotations(visualizer, tmp_path):
    mask = np.zeros((60, 80), np.uint8)
    mask[35:55, 5:30] = 1
    instance = {
        'instance_id': 9,
        'bbox_label': 0,
        'mask': mask_utils.encode(np.asfortranarray(mask)),
    }
    drawn = draw(visualizer, tmp_path, frame_sample(True, instances=[instance]))
    assert drawn.shape == (60, 160, 3)
    assert tuple(drawn[50, 15]) == track_colour(9)  # ground truth stands on the left
    assert tuple(drawn[45, 80 + 40]) == track_colour(4)


def test_ground_truth_of_the_pipeline(visualizer, tmp_path):
    sample = frame_sample(False)
    mask = np.zeros((1, 60, 80), np.uint8)
    mask[0, 35:55, 5:30] = 1
    sample.gt_instances = InstanceData(
        instances_ids=torch.tensor([9]),
        labels=torch.tensor([0]),
        masks=BitmapMasks(mask, 60, 80),
    )
    drawn = draw(visualizer, tmp_path, sample)
    assert tuple(drawn[50, 15]) == track_colour(9)
    assert tuple(drawn[45, 80 + 40]) == track_colour(4)


def test_drawing_leaves_the_random_state_alone(visualizer, tmp_path):
    """MMDetection's visualizer seeds numpy with the track's number."""
    np.random.seed(1)
    expected = np.random.rand()
    np.random.seed(1)
    draw(visualizer, tmp_path, frame_sample(True))
    assert np.random.rand() == expected
