"""Predicted and true objects of a frame, whatever form the data sample has them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData


def predicted_objects(sample: DetDataSample) -> InstanceData:
    """What a model found in a frame.

    Args:
        sample: The frame, with `pred_track_instances`.

    Returns:
        `instances_id`, `labels`, `scores` and `masks` (N).

    Raises:
        ValueError: If there is no prediction or it has no masks.
    """
    if 'pred_track_instances' not in sample or 'masks' not in sample.pred_track_instances:
        raise ValueError(
            'the frame has no pred_track_instances with masks: only results of a model for video '
            'instance segmentation can be drawn'
        )
    return sample.pred_track_instances


def true_objects(sample: DetDataSample) -> InstanceData | None:
    """Ground truth of a frame.

    Args:
        sample: The frame. Its `gt_instances` are taken if they have masks; otherwise the
            annotations that the data set keeps for evaluation (`instances` in the metainfo).

    Returns:
        `instances_id`, `labels` and `masks` (N), or None where nothing is known. A frame that is
        known to be empty has N = 0.
    """
    if 'masks' in sample.get('gt_instances', InstanceData()):
        truth = sample.gt_instances
        ids = truth.get('instances_id', truth.get('instances_ids'))
        return InstanceData(
            instances_id=np.arange(len(truth)) if ids is None else ids,
            labels=truth.labels,
            masks=getattr(truth.masks, 'masks', truth.masks),
        )
    instances = sample.metainfo.get('instances')
    return None if instances is None else objects_of_records(instances)


def objects_of_records(instances: Sequence[Mapping]) -> InstanceData:
    """Objects of a data set's frame record.

    Args:
        instances: `instances` of `mmdevis.datasets.parsing.parse_videos`.

    Returns:
        `instances_id`, `labels` and `masks` (N RLE dicts).
    """
    return InstanceData(
        instances_id=np.array([i['instance_id'] for i in instances], dtype=int),
        labels=np.array([i['bbox_label'] for i in instances], dtype=int),
        masks=[i['mask'] for i in instances],
    )


def renumber_tracks(frames: Sequence[InstanceData]) -> list[InstanceData]:
    """Number the tracks of a video 0, 1, ... in order of appearance.

    Data sets count objects over all videos; within one, small numbers have the most different
    colours.

    Args:
        frames: Objects of every frame; not changed.

    Returns:
        The same with new `instances_id`.
    """
    numbers: dict[int, int] = {}
    renumbered = []
    for objects in frames:
        ids = [numbers.setdefault(int(i), len(numbers)) for i in objects.instances_id]
        objects = objects.clone()
        objects.instances_id = np.array(ids, dtype=int)
        renumbered.append(objects)
    return renumbered
