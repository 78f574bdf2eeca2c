"""MMDetection's own models of video instance segmentation run through the metric as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.utils import register_all_modules
from mmengine.evaluator import Evaluator
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from pycocotools import mask as mask_utils

from mmdevis.evaluation import VISMetric

SIZE, NUM_FRAMES = (64, 96), 3
MASK2FORMER = 'mmdet::mask2former_vis/mask2former_r50_8xb2-8e_youtubevis2021.py'
MASKTRACK = 'mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2021.py'


def mask2former():
    cfg = get_config(MASK2FORMER).model
    cfg.backbone.update(depth=18, init_cfg=None)
    cfg.init_cfg = None
    head = cfg.track_head
    head.update(in_channels=[64, 128, 256, 512], num_queries=12, num_transformer_feat_level=3)
    head.pixel_decoder.encoder.num_layers = 1
    head.transformer_decoder.num_layers = 1
    return cfg


def masktrack_rcnn():
    cfg = get_config(MASKTRACK).model
    cfg.init_cfg = None
    cfg.detector.init_cfg = None
    cfg.detector.backbone.update(depth=18, init_cfg=None)
    cfg.detector.neck.in_channels = [64, 128, 256, 512]
    cfg.detector.test_cfg.rpn.update(nms_pre=50, max_per_img=20)
    cfg.detector.test_cfg.rcnn.update(score_thr=0.0, max_per_img=5)
    return cfg


def frame_sample(t: int) -> DetDataSample:
    mask = np.zeros(SIZE, np.uint8, order='F')
    mask[10:40, 10 + t : 50 + t] = 1
    instance = {
        'bbox': [10 + t, 10, 50 + t, 40],
        'bbox_label': 3,
        'mask': mask_utils.encode(mask),
        'instance_id': 1,
        'ignore_flag': 0,
    }
    return DetDataSample(
        metainfo={
            'img_id': t,
            'video_id': 1,
            'frame_id': t,
            'ori_shape': SIZE,
            'img_shape': SIZE,
            'scale_factor': (1.0, 1.0),
            'ori_video_length': NUM_FRAMES,
            'video_length': NUM_FRAMES,
            'instances': [instance],
        }
    )


def batch(frames: list[int], images: torch.Tensor) -> dict:
    sample = TrackDataSample()
    sample.video_data_samples = [frame_sample(t) for t in frames]
    sample.set_metainfo({'key_frames_inds': [0], 'ref_frames_inds': []})
    return {'inputs': [images[frames]], 'data_samples': [sample]}


@pytest.mark.slow
@pytest.mark.parametrize(
    'make_config, framewise', [(mask2former, False), (masktrack_rcnn, True)], ids=['video', 'frame']
)
def test_model_of_mmdetection(make_config, framewise):
    register_all_modules(init_default_scope=False)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(make_config()).eval()
    images = torch.randint(0, 255, (NUM_FRAMES, 3, *SIZE), dtype=torch.uint8)
    evaluator = Evaluator(VISMetric())
    evaluator.dataset_meta = {'classes': [f'class {i}' for i in range(40)]}
    groups = [[t] for t in range(NUM_FRAMES)] if framewise else [list(range(NUM_FRAMES))]
    with torch.no_grad():
        for frames in groups:
            data = batch(frames, images)
            evaluator.process(model.test_step(data), data)
    kept = evaluator.metrics[0].results
    assert len(kept) == 1 and len(kept[0]['results']) > 0
    assert all(len(track['segmentations']) == NUM_FRAMES for track in kept[0]['results'])
    metrics = evaluator.evaluate(1)
    assert 0 <= metrics['youtube_vis/AP'] <= 1
