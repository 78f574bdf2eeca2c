"""YouTube-VIS annotations of SynthVIS, with occlusion as OVIS has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from mmdevis.evaluation.functional import occlusion_group, occlusion_score

from .config import SynthVISConfig
from .occlusion import frame_level, occlusion_rate


def annotate_video(
    masks: Sequence[np.ndarray],
    full_areas: Sequence[np.ndarray],
    labels: Sequence[int],
    config: SynthVISConfig,
) -> list[dict[str, Any]]:
    """Make the tracks of a video, without ids.

    Args:
        masks: Per frame (N, H, W) bool visible masks.
        full_areas: Per frame (N,) pixels inside the frame as if nothing were in front.
        labels: Class index of every object, N of them.
        config: Settings of the set.

    Returns:
        One annotation for every object that is visible in some frame, in order.
    """
    height, width = config.size
    least = max(1.0, config.min_visible * height * width)
    tracks = []
    for i, label in enumerate(labels):
        rates: list[float | None] = []
        levels: list[str | None] = []
        segmentations: list[dict[str, Any] | None] = []
        bboxes: list[list[float] | None] = []
        areas: list[int | None] = []
        for frame_masks, frame_areas in zip(masks, full_areas):
            mask, full = frame_masks[i], int(frame_areas[i])
            area = int(mask.sum())
            seen = area >= least
            if not seen and full < least:
                # Less than the smallest annotated area is inside the frame: outside for all
                # purposes.
                rate = None
            else:
                rate = occlusion_rate(area if seen else 0, full)
            rates.append(None if rate is None else round(rate, 4))
            levels.append(frame_level(rate) if seen else None)
            segmentations.append(encode_mask(mask) if seen else None)
            bboxes.append(_box_of(mask) if seen else None)
            areas.append(area if seen else None)
        if not any(segmentations):
            continue
        score = occlusion_score(levels)
        tracks.append(
            {
                'category_id': label + 1,
                'iscrowd': 0,
                'height': height,
                'width': width,
                'length': len(areas),
                'segmentations': segmentations,
                'bboxes': bboxes,
                'areas': areas,
                'occlusion': levels,
                'occlusion_rates': rates,
                'occlusion_score': round(score, 4),
                'occlusion_level': occlusion_group(score),
            }
        )
    return tracks


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """Encode an (H, W) bool mask as compressed RLE whose counts are text, as JSON needs."""
    rle = mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {'size': [int(s) for s in rle['size']], 'counts': rle['counts'].decode('ascii')}


def _box_of(mask: np.ndarray) -> list[float]:
    """Tight [x, y, width, height] of an (H, W) bool mask with at least one pixel."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    left, top = int(columns[0]), int(rows[0])
    return [float(v) for v in (left, top, columns[-1] + 1 - left, rows[-1] + 1 - top)]


def youtube_vis_json(
    videos: Sequence[tuple[list[str], list[dict[str, Any]]]],
    config: SynthVISConfig,
    description: str,
) -> dict[str, Any]:
    """Make the YouTube-VIS annotation of a split.

    Args:
        videos: Per video its file names and the tracks that ``annotate_video`` made.
        config: Settings of the set.
        description: Goes into ``info``.

    Returns:
        Dict with info, licenses, videos, categories and annotations; ids count from 1.
    """
    height, width = config.size
    video_list, annotations = [], []
    for video_id, (file_names, tracks) in enumerate(videos, 1):
        video_list.append(
            {
                'id': video_id,
                'width': width,
                'height': height,
                'length': len(file_names),
                'file_names': list(file_names),
            }
        )
        for track in tracks:
            annotations.append(dict(id=len(annotations) + 1, video_id=video_id, **track))
    return {
        'info': {'description': description},
        'licenses': [],
        'videos': video_list,
        'categories': [
            {'id': i, 'name': n, 'supercategory': 'shape'} for i, n in enumerate(config.classes, 1)
        ],
        'annotations': annotations,
    }
