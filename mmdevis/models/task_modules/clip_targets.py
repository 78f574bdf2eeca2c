"""Ground truth of a clip as trajectories (REFERENCE: targets of the official release)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from torch import Tensor

# Width and height of the box of an instance on a frame where it is absent, normalised.
ABSENT_SIZE = 1e-6


@dataclass
class ClipTargets:
    """G ground-truth trajectories on T frames.

    Attributes:
        labels: (G,) class of each instance.
        boxes: (G, T, 4) cxcywh, normalised by the size of the frame without padding.
        masks: (G, T, H, W) bool at the padded input size, or None without masks.
        valid: (G, T) bool, whether the instance is present on the frame.
    """

    labels: Tensor
    boxes: Tensor
    masks: Tensor | None
    valid: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def fill_absent_boxes(boxes: Tensor, valid: Tensor) -> Tensor:
    """Give absent frames a point-like box at the centre of the nearest frame with a box.

    Args:
        boxes: (G, T, 4) cxcywh; values where ``valid`` is False are ignored.
        valid: (G, T) bool, at least one True for each instance.

    Returns:
        (G, T, 4). Of two equally near frames the earlier one counts.
    """
    frames = torch.arange(valid.shape[1], device=valid.device)
    distance = (frames[:, None] - frames[None]).abs()[None].expand(len(valid), -1, -1)
    distance = distance.masked_fill(~valid[:, None], len(frames) + 1)
    # argmin does not promise which of two minima it returns, so earlier frames get an advantage.
    nearest = (distance * (len(frames) + 1) + frames).argmin(-1)
    centre = boxes[..., :2].gather(1, nearest[..., None].expand(-1, -1, 2))
    point = torch.cat([centre, torch.full_like(centre, ABSENT_SIZE)], -1)
    return torch.where(valid[..., None], boxes, point)


def build_clip_targets(frames: Sequence[DetDataSample], device: torch.device) -> ClipTargets:
    """Join the per-frame annotations of a clip into trajectories.

    An instance belongs to the clip when at least one frame has it with a non-empty mask (any mask
    where there are none). Its order is that of first appearance.

    Args:
        frames: T samples with ``gt_instances`` (``bboxes`` xyxy in pixels, ``labels``,
            optionally ``instances_ids`` and ``masks``) and ``img_shape``. A single image needs no
            ids.
        device: Where the targets go.

    Returns:
        Targets of the clip.

    Raises:
        ValueError: If several frames carry objects without ``instances_ids``, an id occurs twice
            on a frame, or an instance changes its class within the clip.
    """
    ids: dict[int, int] = {}
    labels: list[int] = []
    entries: list[tuple[int, int, Tensor, Tensor | None]] = []
    has_masks = any('masks' in sample.gt_instances for sample in frames)
    for t, sample in enumerate(frames):
        gt = sample.gt_instances
        if 'instances_ids' in gt:
            frame_ids = torch.as_tensor(gt.instances_ids).tolist()
        elif len(frames) == 1:
            frame_ids = list(range(len(gt)))
        elif len(gt):
            raise ValueError(
                f'frame {sample.get("img_path", t)} has objects without gt_instances.instances_ids;'
                ' a clip needs them to know which objects are the same'
            )
        else:
            continue
        if len(set(frame_ids)) != len(frame_ids):
            raise ValueError(
                f'frame {sample.get("img_path", t)}: instance ids occur twice: {sorted(frame_ids)}'
            )
        if not frame_ids:
            continue
        height, width = sample.img_shape[:2]
        bboxes = getattr(gt.bboxes, 'tensor', gt.bboxes)
        boxes = bbox_xyxy_to_cxcywh(bboxes.to(device)) / bboxes.new_tensor(
            [width, height, width, height]
        ).to(device)
        masks = gt.masks.to_tensor(torch.bool, device) if 'masks' in gt else None
        for row, (instance, label) in enumerate(zip(frame_ids, gt.labels.tolist())):
            mask = None if masks is None else masks[row]
            if mask is not None and not mask.any():
                continue
            index = ids.setdefault(instance, len(ids))
            if index == len(labels):
                labels.append(label)
            elif labels[index] != label:
                raise ValueError(
                    f'frame {sample.get("img_path", t)}: instance {instance} has class {label}, '
                    f'but class {labels[index]} on an earlier frame of the clip'
                )
            entries.append((index, t, boxes[row], mask))

    count, length = len(labels), len(frames)
    boxes = torch.zeros(count, length, 4, device=device)
    valid = torch.zeros(count, length, dtype=torch.bool, device=device)
    masks = None
    if has_masks:
        size = tuple(frames[0].get('batch_input_shape', frames[0].img_shape))[:2]
        masks = torch.zeros(count, length, *size, dtype=torch.bool, device=device)
    for index, t, box, mask in entries:
        boxes[index, t] = box
        valid[index, t] = True
        if mask is not None:
            masks[index, t, : mask.shape[0], : mask.shape[1]] = mask
    labels = torch.tensor(labels, dtype=torch.long, device=device)
    return ClipTargets(labels, fill_absent_boxes(boxes, valid) if count else boxes, masks, valid)
