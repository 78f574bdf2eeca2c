"""Memory and time of evaluating a large set: made-up tracks through `VISMetric`, no model.

python tools/analysis_tools/benchmark_metric.py [--videos 100] [--frames 200] [--size 720 1280]
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from mmengine.utils import track_iter_progress
from pycocotools import mask as mask_utils

from mmdevis.evaluation import VISMetric


def blobs(number: int, height: int, width: int, rng: np.random.Generator) -> list[dict]:
    """RLE of rough shapes, with outlines about as long as those of real objects.

    Args:
        number: How many.
        height: Of the frame, in pixels.
        width: Of the frame, in pixels.
        rng: Source of randomness.

    Returns:
        `number` RLE dicts with counts as bytes.
    """
    rles = []
    for _ in range(number):
        angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        radius = rng.uniform(0.08, 0.25) * height * rng.uniform(0.7, 1.3, angles.size)
        centre = rng.uniform(0.2, 0.8, 2) * (width, height)
        points = centre + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], -1)
        mask = cv2.fillPoly(np.zeros((height, width), np.uint8), [points.astype(np.int32)], 1)
        rles.append(mask_utils.encode(np.asfortranarray(mask)))
    return rles


def video_samples(video_id: int, args: argparse.Namespace, pool: list[dict]) -> list[DetDataSample]:
    """One video's ground truth and predictions.

    Args:
        video_id: Id of the video.
        args: Command line.
        pool: Masks to take from.

    Returns:
        One sample per frame.
    """
    rng = np.random.default_rng(video_id)
    samples = []
    for frame in range(args.frames):
        chosen = rng.integers(len(pool), size=args.tracks + args.objects)
        masks = [dict(pool[i]) for i in chosen]
        sample = DetDataSample(
            metainfo={
                'img_id': video_id * 10000 + frame,
                'video_id': video_id,
                'frame_id': frame,
                'ori_shape': tuple(args.size),
                'ori_video_length': args.frames,
                'instances': [
                    {
                        'bbox': [0, 0, 10, 10],
                        'bbox_label': k % args.classes,
                        'mask': masks[args.tracks + k],
                        'instance_id': k,
                    }
                    for k in range(args.objects)
                ],
            }
        )
        predicted = masks[: args.tracks]
        # Half of the predictions are mostly right, so that matching has something to do.
        for k in range(min(args.objects, args.tracks // 2)):
            if rng.random() < 0.8:
                predicted[k] = dict(masks[args.tracks + k])
        ids = torch.arange(args.tracks)
        sample.pred_track_instances = InstanceData(
            instances_id=ids,
            labels=ids % args.classes,
            scores=torch.linspace(0.9, 0.1, args.tracks),
            bboxes=torch.zeros(args.tracks, 4),
            masks=predicted,
        )
        samples.append(sample)
    return samples


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--videos', type=int, default=100)
    parser.add_argument('--frames', type=int, default=200)
    parser.add_argument('--size', type=int, nargs=2, default=(720, 1280), metavar=('H', 'W'))
    parser.add_argument('--tracks', type=int, default=10, help='predicted per video')
    parser.add_argument('--objects', type=int, default=5, help='true ones per video')
    parser.add_argument('--classes', type=int, default=5)
    parser.add_argument('--json', type=Path, help='also write the figures to this file')
    args = parser.parse_args()

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux

    pool = blobs(300, *args.size, np.random.default_rng(0))
    figures = {
        'bytes_per_mask': float(np.mean([len(rle['counts']) for rle in pool])),
        'peak_gib_before': peak(),
    }
    metric = VISMetric()
    metric.dataset_meta = {'classes': [f'class {i}' for i in range(args.classes)]}
    start = time.perf_counter()
    for video_id in track_iter_progress(range(args.videos)):
        metric.process({}, [{'video_data_samples': video_samples(video_id, args, pool)}])
    figures['seconds_process'] = time.perf_counter() - start
    figures['peak_gib_process'] = peak()
    start = time.perf_counter()
    metrics = metric.evaluate(args.videos)
    figures['seconds_evaluate'] = time.perf_counter() - start
    figures['peak_gib_evaluate'] = peak()
    figures['AP'] = metrics['youtube_vis/AP']
    print()
    for name, value in figures.items():
        print(f'{name:<20}{value:>10.3f}')
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
    main()
