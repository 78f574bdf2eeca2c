"""The augmentation of the real configs: same draw for all frames, masks follow the picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config

BASES = Path(__file__).parents[2] / 'configs/devis/_base_/datasets'


def _dataset(root, name='clip_pipelines', photometric=True, **kwargs):
    pipeline = Config.fromfile(BASES / f'{name}.py').train_pipeline
    if not photometric:
        for step in pipeline:
            if step['type'] == 'TransformBroadcaster':
                step['transforms'] = [
                    t for t in step['transforms'] if t['type'] != 'PhotoMetricDistortion'
                ]
    cfg = {
        'type': 'VISClipDataset',
        'data_root': str(root),
        'ann_file': 'train.json',
        'data_prefix': {'img_path': 'JPEGImages'},
        'pipeline': pipeline,
    }
    return DATASETS.build({**cfg, **kwargs})


def test_one_draw_for_all_frames_and_a_new_one_for_each_clip(tiny_root):
    # Video 3 has one frame, so all frames of its clip start from the same picture.
    dataset = _dataset(tiny_root, num_frames=3, indices=[2])
    torch.manual_seed(0)
    np.random.seed(0)
    draws = set()
    for _ in range(12):
        sample = dataset[0]
        frames, metas = sample['inputs'], [s.metainfo for s in sample['data_samples']]
        assert len({(m['img_shape'], m['flip']) for m in metas}) == 1
        assert (frames == frames[:1]).all()
        draws.add((metas[0]['img_shape'], metas[0]['flip'], frames.float().mean().item()))
    assert len(draws) == 12
    assert len({flip for _, flip, _ in draws}) == 2
    assert len({shape for shape, _, _ in draws}) > 5


def test_masks_follow_the_picture(tiny_root):
    np.random.seed(1)
    dataset = _dataset(tiny_root, photometric=False, num_frames=3, indices=1)
    cropped = 0
    for index in 3 * list(range(len(dataset))):
        sample = dataset[index]
        for frame, track in zip(sample['inputs'], sample['data_samples']):
            gt = track.gt_instances
            sizes = {len(gt.bboxes), len(gt.labels), len(gt.instances_ids), len(gt.masks)}
            assert len(sizes) == 1
            for box, mask, track_id in zip(gt.bboxes, gt.masks, gt.instances_ids):
                ys, xs = np.nonzero(mask)
                assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                # Objects have the value 200 + id. Interpolation blurs their border.
                value = frame[0].numpy()[mask > 0]
                hidden = track_id == 1 and 2 in gt.instances_ids
                assert abs(np.median(value) - 200 - track_id) <= 1 or hidden
                assert np.mean(value > 100) > 0.85
            covered = gt.masks.masks.any(0) if len(gt.masks) else np.zeros(frame.shape[1:])
            assert np.mean(frame[0].numpy()[covered == 0] > 199) < 0.01
            cropped += frame.shape[1] * 4 != frame.shape[2] * 3
    assert cropped > 5


def test_short_videos_fill_the_clip(tiny_root):
    sample = _dataset(tiny_root, num_frames=4, indices=[1])[0]
    assert [s.frame_id for s in sample['data_samples']] == [0, 1, 0, 1]
    assert [s.ori_video_length for s in sample['data_samples']] == [2] * 4
    assert sample['inputs'].shape[:2] == (4, 3)


def test_clip_without_objects(tiny_root):
    sample = _dataset(tiny_root, num_frames=2, indices=[2])[0]
    for track in sample['data_samples']:
        gt = track.gt_instances
        assert gt.bboxes.shape == (0, 4)
        assert gt.masks.masks.shape == (0, *track.img_shape)


def test_small_pictures_keep_their_size(tiny_root):
    dataset = _dataset(tiny_root, 'synthvis', num_frames=2)
    assert dataset[0]['inputs'].shape == (2, 3, 24, 32)
    assert dataset[0]['inputs'].dtype == torch.uint8


@pytest.mark.parametrize('name', ['youtube_vis_2019', 'youtube_vis_2021', 'ovis', 'ytvis_style'])
def test_bases_share_the_pipelines(name):
    config = Config.fromfile(BASES / f'{name}.py')
    shared = Config.fromfile(BASES / 'clip_pipelines.py')
    assert config.train_dataloader.dataset.pipeline == shared.train_pipeline
    assert config.val_dataloader.dataset.pipeline == shared.test_pipeline
    assert config.train_dataloader.dataset.num_frames == 6
    assert config.val_dataloader.batch_size == 1
    assert config.val_dataloader.dataset.test_mode


def test_scales_of_the_recipe():
    choice = next(
        t
        for t in Config.fromfile(BASES / 'clip_pipelines.py').train_pipeline
        if t['type'] == 'RandomChoice'
    )
    plain, crop = (branch[0].transforms for branch in choice.transforms)
    sides = [288, 320, 352, 392, 416, 448, 480, 512]
    assert [tuple(scale) for scale in plain[0].scales] == [(side, 768) for side in sides]
    assert plain[0] == crop[2]
    assert [scale[0] for scale in crop[0].scales] == [400, 500, 600]
    assert (crop[1].crop_type, tuple(crop[1].crop_size)) == ('absolute_range', (384, 600))
