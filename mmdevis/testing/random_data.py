"""Small random inputs with annotations, in the form that models are given."""

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import Tensor


def random_frame(
    rng: np.random.Generator,
    size: tuple[int, int],
    padded: tuple[int, int],
    labels: Sequence[int],
    present: Sequence[int],
) -> DetDataSample:
    """One annotated frame.

    Args:
        rng: Where boxes come from.
        size: (H, W) of the frame.
        padded: (H, W) of the batch.
        labels: Class of each instance of the clip.
        present: Instances that the frame shows, by index.

    Returns:
        Sample with ``gt_instances``: rectangles as masks.
    """
    height, width = size
    masks = np.zeros((len(present), *padded), np.uint8)
    boxes = np.zeros((len(present), 4), np.float32)
    for row in range(len(present)):
        y, x = rng.integers(0, height // 2), rng.integers(0, width // 2)
        bottom, right = rng.integers(y + 4, height + 1), rng.integers(x + 4, width + 1)
        masks[row, y:bottom, x:right] = 1
        boxes[row] = x, y, right, bottom
    meta = dict(img_shape=size, ori_shape=size, batch_input_shape=padded, scale_factor=(1.0, 1.0))
    sample = DetDataSample(metainfo=meta)
    sample.gt_instances = InstanceData(
        bboxes=torch.from_numpy(boxes),
        labels=torch.tensor([labels[i] for i in present], dtype=torch.long),
        instances_ids=torch.tensor([10 + i for i in present], dtype=torch.long),
        masks=BitmapMasks(masks, *padded),
    )
    return sample


def random_clips(
    num_frames: int,
    sizes: Sequence[tuple[int, int]],
    num_classes: int,
    num_instances: int = 2,
    padded: tuple[int, int] | None = None,
    seed: int = 0,
) -> tuple[Tensor, list[TrackDataSample]]:
    """A batch of annotated, normalised clips.

    Args:
        num_frames: T.
        sizes: (H, W) of each clip.
        num_classes: Labels are drawn below it.
        num_instances: Instances of each clip; the first one is absent on the last frame.
        padded: (H, W) of the batch; None takes the largest of ``sizes``.
        seed: Same seed, same data; a clip depends on nothing but it and its place in ``sizes``.

    Returns:
        - (B, T, 3, H, W), zero where padded
        - B samples of T frames
    """
    padded = padded or tuple(max(size[axis] for size in sizes) for axis in (0, 1))
    clips = torch.zeros(len(sizes), num_frames, 3, *padded)
    samples = []
    for i, (height, width) in enumerate(sizes):
        rng = np.random.default_rng([seed, i])
        pixels = rng.standard_normal((num_frames, 3, height, width), np.float32)
        clips[i, ..., :height, :width] = torch.from_numpy(pixels)
        labels = rng.integers(0, num_classes, num_instances).tolist()
        frames = []
        for t in range(num_frames):
            first = 1 if num_frames > 1 and t == num_frames - 1 else 0
            present = range(first, num_instances)
            frames.append(random_frame(rng, (height, width), padded, labels, present))
        samples.append(TrackDataSample(video_data_samples=frames))
    return clips, samples
