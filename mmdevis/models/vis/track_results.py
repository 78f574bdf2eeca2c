"""From finished tracks to MMDetection's data samples."""

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.structures import TrackDataSample
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

from mmdevis.structures import Track


def add_tracks_to_sample(sample: TrackDataSample, tracks: Sequence[Track]) -> None:
    """Store the tracks of a whole video as per-frame instances.

    Args:
        sample: The video; every frame gets ``pred_track_instances`` with ``instances_id`` (N,),
            ``labels`` (N,), ``scores`` (N,) of the track, ``bboxes`` (N, 4) xyxy of the masks and
            ``masks``, N RLE dicts. A track appears on the frames where it has a mask.
        tracks: Finished tracks.
    """
    for index, frame in enumerate(sample.video_data_samples):
        present = [track for track in tracks if index in track.segmentations]
        masks = [track.segmentations[index] for track in present]
        boxes = np.array([mask_utils.toBbox(mask) for mask in masks], dtype=np.float32)
        boxes = boxes.reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        frame.pred_track_instances = InstanceData(
            instances_id=torch.tensor([track.track_id for track in present], dtype=torch.long),
            labels=torch.tensor([track.label for track in present], dtype=torch.long),
            scores=torch.tensor([track.score for track in present], dtype=torch.float32),
            bboxes=torch.from_numpy(boxes),
            masks=masks,
        )
