"""Contact sheets of clips as data sets give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample, TrackDataSample
from mmengine.structures import InstanceData

from .contact_sheet import choose_frames, contact_sheet, draw_tile
from .frame_objects import renumber_tracks, true_objects
from .track_painter import TrackPainter


def clip_sheet(
    item: Mapping[str, Any],
    painter: TrackPainter,
    num_frames: int | None = None,
    columns: int | None = None,
    tile_width: int = 240,
) -> tuple[np.ndarray, str]:
    """Draw a sample of a data set with its annotations.

    Args:
        item: `inputs`, frames (T, 3, H, W) BGR after augmentation in 0..255 (other values are cut
            off), an image (3, H, W), or a lazily read video; and `data_samples`.
        painter: Draws the objects.
        num_frames: At most so many, evenly spaced; None takes all.
        columns: Of the grid; None makes it about square.
        tile_width: Pixels of each frame's picture.

    Returns:
        The sheet, uint8 (h, w, 3) BGR, and what to call it, such as 'video_3'.
    """
    inputs, samples = item['inputs'], item['data_samples']
    if isinstance(samples, TrackDataSample):
        samples = samples.video_data_samples
    else:
        inputs, samples = inputs[None], [samples]
    chosen = choose_frames(len(samples), num_frames)
    truth = renumber_tracks([_objects(sample) for sample in samples])
    tiles = [
        draw_tile(_picture(inputs[index]), truth[index], painter, tile_width) for index in chosen
    ]
    meta = [sample.metainfo for sample in samples]
    captions = [str(meta[index].get('frame_id', index)) for index in chosen]
    video = meta[0].get('video_id')
    name = f'image_{meta[0].get("img_id")}' if video is None else f'video_{video}'
    return contact_sheet({name.replace('_', ' '): tiles}, captions, columns), name


def _objects(sample: DetDataSample) -> InstanceData:
    objects = true_objects(sample)
    if objects is None:
        return InstanceData(instances_id=np.zeros(0, int), labels=np.zeros(0, int), masks=[])
    return objects


def _picture(frame: torch.Tensor) -> np.ndarray:
    # Distortions of colour leave float pictures whose values go beyond 0..255.
    frame = frame.clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
