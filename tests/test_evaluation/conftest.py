"""Small sets of video instance segmentation, as YouTube-VIS dicts and as data samples."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

SIZE = (24, 32)
CLASSES = ('cat', 'dog', 'owl')


def rle(mask: np.ndarray) -> dict:
    encoded = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': list(encoded['size']), 'counts': encoded['counts'].decode()}


def box_mask(y0: int, x0: int, height: int, width: int, size=SIZE) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    mask[max(y0, 0) : y0 + height, max(x0, 0) : x0 + width] = True
    return mask


def random_set(seed: int, num_videos: int = 3, num_frames: int = 5, size=SIZE, num_preds: int = 6):
    """Moving boxes and jittered predictions: ground truth, results in YouTube-VIS format."""
    rng = np.random.default_rng(seed)
    gt = {
        'videos': [
            {'id': v + 1, 'height': size[0], 'width': size[1], 'length': num_frames}
            for v in range(num_videos)
        ],
        'categories': [{'id': c + 1, 'name': name} for c, name in enumerate(CLASSES)],
        'annotations': [],
    }
    results = []
    labels = ('no_occlusion', 'slight_occlusion', 'severe_occlusion')

    def track(start, step, extent, absent):
        masks = []
        for t in range(num_frames):
            y, x = (start + t * step).astype(int)
            mask = box_mask(y, x, *extent, size=size)
            masks.append(None if rng.random() < absent or not mask.any() else mask)
        return masks

    for v in range(num_videos):
        for _ in range(rng.integers(0, 5)):
            start, step = rng.uniform(0, min(size) - 6, 2), rng.uniform(-1, 2, 2)
            extent = rng.integers(3, 12, 2)
            masks = track(start, step, extent, 0.2)
            if not any(m is not None for m in masks):
                continue
            category = int(rng.integers(1, len(CLASSES) + 1))
            gt['annotations'].append(
                {
                    'id': len(gt['annotations']) + 1,
                    'video_id': v + 1,
                    'category_id': category,
                    'segmentations': [None if m is None else rle(m) for m in masks],
                    'areas': [None if m is None else int(m.sum()) for m in masks],
                    'bboxes': [
                        None if m is None else mask_utils.toBbox(rle(m)).tolist() for m in masks
                    ],
                    'iscrowd': int(rng.random() < 0.1),
                    'occlusion': [str(rng.choice(labels)) for _ in masks],
                }
            )
            for _ in range(rng.integers(0, 3)):
                noise = rng.uniform(-2, 2, 2)
                wrong = rng.random() < 0.2
                pred = track(np.maximum(start + noise, 0), step, extent, 0.1)
                results.append(
                    {
                        'video_id': v + 1,
                        'category_id': category % len(CLASSES) + 1 if wrong else category,
                        # few distinct values, so that ties occur
                        'score': float(rng.integers(1, 8) / 8),
                        'segmentations': [None if m is None else rle(m) for m in pred],
                    }
                )
        for _ in range(rng.integers(0, num_preds)):
            pred = track(rng.uniform(0, 12, 2), rng.uniform(0, 2, 2), rng.integers(3, 9, 2), 0.3)
            results.append(
                {
                    'video_id': v + 1,
                    'category_id': int(rng.integers(1, len(CLASSES) + 1)),
                    'score': float(rng.integers(1, 8) / 8),
                    'segmentations': [None if m is None else rle(m) for m in pred],
                }
            )
    return gt, results


def to_samples(gt: dict, results: list[dict], as_rle: bool = True) -> list[dict]:
    """One dict per video as MMEngine's evaluator hands them to `process`."""
    videos = []
    for video in gt['videos']:
        frames = []
        for t in range(video['length']):
            instances = [
                {
                    'bbox': [b[0], b[1], b[0] + b[2], b[1] + b[3]],
                    'bbox_label': a['category_id'] - 1,
                    'mask': dict(a['segmentations'][t]),
                    'instance_id': a['id'],
                    'ignore_flag': a['iscrowd'],
                    'occlusion': a['occlusion'][t],
                }
                for a in gt['annotations']
                if a['video_id'] == video['id'] and a['segmentations'][t]
                for b in [a['bboxes'][t]]
            ]
            rows = [
                (i, r)
                for i, r in enumerate(results)
                if r['video_id'] == video['id'] and r['segmentations'][t]
            ]
            rles = [dict(r['segmentations'][t]) for _, r in rows]
            masks = rles
            if not as_rle:
                size = (video['height'], video['width'])
                decoded = [mask_utils.decode(m).astype(bool) for m in rles]
                masks = torch.from_numpy(
                    np.stack(decoded) if decoded else np.zeros((0, *size), bool)
                )
            sample = DetDataSample(
                metainfo={
                    'img_id': video['id'] * 1000 + t,
                    'video_id': video['id'],
                    'frame_id': t,
                    'ori_shape': (video['height'], video['width']),
                    'ori_video_length': video['length'],
                    'instances': instances,
                }
            )
            sample.pred_track_instances = InstanceData(
                instances_id=torch.tensor([i for i, _ in rows], dtype=torch.long),
                labels=torch.tensor([r['category_id'] - 1 for _, r in rows], dtype=torch.long),
                scores=torch.tensor([r['score'] for _, r in rows]),
                bboxes=torch.zeros(len(rows), 4),
                masks=masks,
            )
            frames.append(sample)
        videos.append({'video_data_samples': frames})
    return videos


@pytest.fixture
def vis():
    """The builders above; test modules cannot import each other."""
    return SimpleNamespace(
        rle=rle,
        box_mask=box_mask,
        random_set=random_set,
        to_samples=to_samples,
        size=SIZE,
        classes=CLASSES,
    )
