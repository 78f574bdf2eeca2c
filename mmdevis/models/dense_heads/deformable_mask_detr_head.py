"""Box, class and mask head of the image model; the video head builds on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import DeformableDETRHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from mmdevis.utils.precision import at_least_float32

from ..task_modules.clip_targets import ClipTargets, build_clip_targets


@dataclass
class MaskFeatures:
    """Feature maps that the mask head reads, all (B, T, channels, h, w).

    Attributes:
        coarse: The map that decoding starts from (stride 32).
        finer: Maps of stride 16, 8 and 4.
        attended: Encoded maps for the attention, coarse to fine.
        paddings: (B, T, h, w) bool for each map of ``attended``, or None without padding.
    """

    coarse: Tensor
    finer: list[Tensor]
    attended: list[Tensor]
    paddings: list[Tensor | None]

    def clip(self, index: int) -> dict:
        """Keyword arguments of the mask head for one clip of the batch."""
        return dict(
            coarse=self.coarse[index],
            finer=[feature[index] for feature in self.finer],
            attended=[feature[index] for feature in self.attended],
            paddings=[None if p is None else p[index] for p in self.paddings],
        )

    def clips(self) -> dict:
        """Keyword arguments of the mask head's ``decode_clips`` for the whole batch."""
        return dict(
            coarse=self.coarse.flatten(0, 1),
            finer=[feature.flatten(0, 1) for feature in self.finer],
            attended=[feature.flatten(0, 1) for feature in self.attended],
            paddings=[None if p is None else p.flatten(0, 1) for p in self.paddings],
        )


@dataclass
class Trajectories:
    """The K best (trajectory, class) pairs of one clip.

    Attributes:
        queries: (K,) trajectory index in 0..Q-1.
        labels: (K,) class.
        scores: (K, T) score of the class on each frame, 0..1.
        boxes: (K, T, 4) cxcywh, normalised to the frame without padding.
        masks: (U, T, h, w) mask logits of the distinct trajectories.
        mask_index: (K,) row of ``masks`` for each pair.
    """

    queries: Tensor
    labels: Tensor
    scores: Tensor
    boxes: Tensor
    masks: Tensor
    mask_index: Tensor


@MODELS.register_module()
class DeformableMaskDETRHead(DeformableDETRHead):
    """Deformable DETR head with masks, over clips of T frames (T = 1: images).

    Losses follow REFERENCE "Targets, matching, losses": the normaliser is the number of instances
    times T, absent frames count for boxes and masks but not as class positives, and masks are
    only computed for matched trajectories.

    Args:
        mask_head: Config of the mask head.
        loss_mask: Config of the focal mask loss.
        loss_dice: Config of the dice loss.
        aux_mask_layers: Decoder layers, counted from 0, that get mask losses beside the last one.
        layer_weights: Factor of class and box losses of each decoder layer; None means 1 each.
        only_matched_masks: In training, decode only masks that have a target. Otherwise those of
            all queries, which gives the same losses and takes several times longer (first row of
            the paper's Table 2).
        pixel_classifier: Config of a dense auxiliary loss on the finest encoded map, or None.
        num_frames: T.
        num_query_groups: Groups of queries in training; masks are decoded for the first.
        **kwargs: Arguments of MMDetection's ``DeformableDETRHead``.

    Raises:
        ValueError: If ``layer_weights`` has another length than there are decoder layers.
    """

    def __init__(
        self,
        *args,
        mask_head: dict,
        loss_mask: dict | None = None,
        loss_dice: dict | None = None,
        aux_mask_layers: Sequence[int] = (2,),
        layer_weights: Sequence[float] | None = None,
        only_matched_masks: bool = True,
        pixel_classifier: dict | None = None,
        num_frames: int = 1,
        num_query_groups: int = 1,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        loss_mask = loss_mask or dict(type='FocalLoss', use_sigmoid=True, loss_weight=1.0)
        loss_dice = loss_dice or dict(type='DiceLoss', naive_dice=True, eps=1.0, loss_weight=1.0)
        self.mask_head = MODELS.build(mask_head)
        self.loss_mask = MODELS.build(loss_mask)
        self.loss_dice = MODELS.build(loss_dice)
        self.only_matched_masks = only_matched_masks
        self.pixel_classifier = MODELS.build(pixel_classifier) if pixel_classifier else None
        self.num_frames = num_frames
        self.num_query_groups = num_query_groups
        last = self.num_pred_layer - 1
        self.mask_layers = sorted({layer for layer in aux_mask_layers if layer < last} | {last})
        self.layer_weights = list(layer_weights or [1.0] * self.num_pred_layer)
        if len(self.layer_weights) != self.num_pred_layer:
            raise ValueError(
                f'bbox_head.layer_weights has {len(self.layer_weights)} values, but the decoder '
                f'has {self.num_pred_layer} layers'
            )

    def init_weights(self) -> None:
        """Initialise the branches as Deformable DETR and the mask head as DETR."""
        super().init_weights()
        self.mask_head.init_weights()
        if self.pixel_classifier is not None:
            self.pixel_classifier.init_weights()

    def forward(self, hidden_states: Tensor, references: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Classify all queries and collect the boxes of all layers.

        Args:
            hidden_states: (layers, B, T * Q, C).
            references: Initial references and then the refined boxes of every layer, each
                (B, T * Q, 4) cxcywh; they are the predictions.

        Returns:
            - (layers, B, T * Q, classes) logits
            - (layers, B, T * Q, 4) normalised cxcywh
        """
        logits = [branch(state) for branch, state in zip(self.cls_branches, hidden_states)]
        return at_least_float32(torch.stack(logits)), torch.stack(list(references[1:]))

    def loss(
        self,
        hidden_states: Tensor,
        references: Sequence[Tensor],
        mask_features: MaskFeatures,
        batch_data_samples: Sequence[Sequence[DetDataSample]],
    ) -> dict[str, Tensor]:
        """Losses of all decoder layers.

        Args:
            hidden_states: (layers, B, T * Q, C).
            references: As in :meth:`forward`.
            mask_features: What the mask head reads.
            batch_data_samples: B clips of T annotated frames.

        Returns:
            Weighted losses ``loss_cls``, ``loss_bbox``, ``loss_iou``, ``loss_mask``,
            ``loss_dice``, and the same with prefix ``d0.``, ``d1.``, ... for earlier layers.
        """
        cls_scores, boxes = self(hidden_states, references)
        # (layers, B, groups, T, Q, ...)
        cls_scores, boxes = self._per_group(cls_scores), self._per_group(boxes)
        embeddings = self._per_group(hidden_states)[:, :, 0]
        targets = [build_clip_targets(clip, boxes.device) for clip in batch_data_samples]
        img_shapes = [clip[0].img_shape[:2] for clip in batch_data_samples]
        count = boxes.new_tensor(float(sum(len(t) for t in targets) * self.num_frames))
        normaliser = reduce_mean(count).clamp(min=1).item()

        layers, groups = self.num_pred_layer, self.num_query_groups
        # For each clip the matches of all groups of the first layer, then of the second, ...
        all_matches = [
            self.assigner.assign_sets(
                cls_scores[:, b].flatten(0, 1), boxes[:, b].flatten(0, 1), targets[b], img_shapes[b]
            )
            for b in range(len(targets))
        ]
        losses: dict[str, Tensor] = {}
        for layer in range(layers):
            matches = [
                clip[layer * groups + group] for clip in all_matches for group in range(groups)
            ]
            layer_losses = self._loss_layer(
                cls_scores[layer].flatten(0, 1),
                boxes[layer].flatten(0, 1),
                [target for target in targets for _ in range(groups)],
                matches,
                normaliser * groups,
            )
            weight = self.layer_weights[layer]
            layer_losses = {name: loss * weight for name, loss in layer_losses.items()}
            if layer in self.mask_layers:
                layer_losses.update(
                    self._loss_masks(
                        embeddings[layer],
                        boxes[layer][:, 0],
                        mask_features,
                        targets,
                        matches[::groups],
                        normaliser,
                    )
                )
            prefix = '' if layer == self.num_pred_layer - 1 else f'd{layer}.'
            losses.update({prefix + name: loss for name, loss in layer_losses.items()})
        if self.pixel_classifier is not None:
            losses['loss_pixel'] = self.pixel_classifier.loss(mask_features.attended[-1], targets)
        return losses

    def _per_frame(self, queries: Tensor) -> Tensor:
        """(..., T * Q, C) to (..., T, Q, C)."""
        return queries.unflatten(-2, (self.num_frames, -1))

    def _per_group(self, queries: Tensor) -> Tensor:
        """(..., T * groups * Q, C) to (..., groups, T, Q, C)."""
        frames, groups = self.num_frames, self.num_query_groups
        return queries.unflatten(-2, (frames, groups, -1)).transpose(-4, -3)

    def _loss_layer(
        self,
        cls_scores: Tensor,
        boxes: Tensor,
        targets: Sequence[ClipTargets],
        matches: Sequence[tuple[Tensor, Tensor]],
        normaliser: float,
    ) -> dict[str, Tensor]:
        """Class and box losses of one decoder layer, (B, T, Q, ...) inputs."""
        labels = torch.full(
            cls_scores.shape[:3], self.num_classes, dtype=torch.long, device=boxes.device
        )
        matched, wanted = [], []
        for b, ((queries, instances), target) in enumerate(zip(matches, targets)):
            positive = torch.where(
                target.valid[instances], target.labels[instances, None], self.num_classes
            )
            labels[b, :, queries] = positive.t()
            matched.append(boxes[b][:, queries].transpose(0, 1).reshape(-1, 4))
            wanted.append(target.boxes[instances].reshape(-1, 4))
        loss_cls = self.loss_cls(cls_scores.flatten(0, 2), labels.flatten(), avg_factor=normaliser)
        matched, wanted = torch.cat(matched), torch.cat(wanted)
        if len(matched) == 0:
            zero = boxes.sum() * 0.0
            return dict(loss_cls=loss_cls, loss_bbox=zero, loss_iou=zero)
        loss_bbox = self.loss_bbox(matched, wanted, avg_factor=normaliser)
        loss_iou = self.loss_iou(
            bbox_cxcywh_to_xyxy(matched), bbox_cxcywh_to_xyxy(wanted), avg_factor=normaliser
        )
        return dict(loss_cls=loss_cls, loss_bbox=loss_bbox, loss_iou=loss_iou)

    def _loss_masks(
        self,
        embeddings: Tensor,
        boxes: Tensor,
        mask_features: MaskFeatures,
        targets: Sequence[ClipTargets],
        matches: Sequence[tuple[Tensor, Tensor]],
        normaliser: float,
    ) -> dict[str, Tensor]:
        """Focal and dice loss of the matched trajectories of one layer, (B, T, Q, ...) inputs."""
        embeddings, boxes = list(embeddings), list(boxes)
        queries = [
            matched if target.masks is not None else matched[:0]
            for (matched, _), target in zip(matches, targets)
        ]
        if not any(len(matched) for matched in queries):
            # Nothing to segment: one trajectory keeps the mask head's parameters in the graph.
            logits = self.mask_head(
                embeddings[0][:, :1], **mask_features.clip(0), boxes=boxes[0][:, :1]
            )
            zero = logits.sum() * 0.0
            return dict(loss_mask=zero, loss_dice=zero)
        wanted = torch.cat(
            [
                target.masks[instances]
                for (_, instances), target in zip(matches, targets)
                if target.masks is not None
            ]
        )
        if self.only_matched_masks:
            embeddings = [clip[:, matched] for clip, matched in zip(embeddings, queries)]
            boxes = [clip[:, matched] for clip, matched in zip(boxes, queries)]
        logits = self.mask_head.decode_clips(embeddings, **mask_features.clips(), boxes=boxes)
        if not self.only_matched_masks:
            count = embeddings[0].shape[1]
            logits = logits[torch.cat([b * count + matched for b, matched in enumerate(queries)])]
        logits = at_least_float32(logits)
        logits = F.interpolate(logits, size=wanted.shape[-2:], mode='bilinear', align_corners=False)
        logits = logits.flatten(0, 1).flatten(1)
        wanted = wanted.flatten(0, 1).flatten(1).to(logits)
        return dict(
            loss_mask=self.loss_mask(logits, wanted, avg_factor=normaliser * wanted.shape[-1]),
            loss_dice=self.loss_dice(logits, wanted, avg_factor=normaliser),
        )

    def select(
        self,
        hidden_state: Tensor,
        cls_scores: Tensor,
        boxes: Tensor,
        mask_features: MaskFeatures,
        index: int,
        max_instances: int,
    ) -> Trajectories:
        """Best (trajectory, class) pairs of one clip with the masks of distinct trajectories.

        The score of a trajectory is the mean of its per-frame scores (paper Sec. 3.1).

        Args:
            hidden_state: (B, T * Q, C) of the last layer.
            cls_scores: (B, T * Q, classes) logits of the last layer.
            boxes: (B, T * Q, 4) of the last layer.
            mask_features: What the mask head reads.
            index: Clip within the batch.
            max_instances: K; fewer where there are fewer pairs.

        Returns:
            The selected trajectories.
        """
        scores = self._per_frame(cls_scores[index].float()).sigmoid()
        queries, labels = best_pairs(scores.mean(0), max_instances)
        distinct, mask_index = queries.unique(return_inverse=True)
        embeddings = self._per_frame(hidden_state[index])[:, distinct]
        all_boxes = self._per_frame(boxes[index])
        masks = self.mask_head(
            embeddings, **mask_features.clip(index), boxes=all_boxes[:, distinct]
        )
        return Trajectories(
            queries=queries,
            labels=labels,
            scores=scores[:, queries, labels].t(),
            boxes=all_boxes[:, queries].transpose(0, 1).float(),
            masks=masks.float(),
            mask_index=mask_index,
        )

    def predict(
        self,
        hidden_states: Tensor,
        references: Sequence[Tensor],
        mask_features: MaskFeatures,
        batch_data_samples: Sequence[Sequence[DetDataSample]],
        rescale: bool = True,
    ) -> list[InstanceData]:
        """Detections of single images.

        Args:
            hidden_states: (layers, B, Q, C).
            references: As in :meth:`forward`.
            mask_features: What the mask head reads.
            batch_data_samples: B clips of one frame each.
            rescale: Return boxes and masks at the original image size.

        Returns:
            For each image ``bboxes`` (K, 4) xyxy, ``scores`` (K,), ``labels`` (K,) and ``masks``
            (K, h, w) bool.
        """
        cls_scores, boxes = self.cls_branches[-1](hidden_states[-1]), references[-1]
        results = []
        for b, (sample,) in enumerate(batch_data_samples):
            found = self.select(
                hidden_states[-1],
                cls_scores,
                boxes,
                mask_features,
                b,
                self.test_cfg.get('max_per_img', 50),
            )
            height, width = sample.ori_shape[:2] if rescale else sample.img_shape[:2]
            masks = resize_masks(
                found.masks, sample.batch_input_shape, sample.img_shape, (height, width)
            )
            scale = boxes.new_tensor([width, height, width, height])
            corners = bbox_cxcywh_to_xyxy(found.boxes[:, 0]).clamp(0.0, 1.0)
            results.append(
                InstanceData(
                    bboxes=corners * scale,
                    scores=found.scores[:, 0],
                    labels=found.labels,
                    masks=(masks > 0)[found.mask_index, 0],
                )
            )
        return results


def best_pairs(scores: Tensor, max_instances: int) -> tuple[Tensor, Tensor]:
    """Choose pairs of trajectory and class.

    Args:
        scores: (Q, classes), the mean over the frames.
        max_instances: K; fewer where there are fewer pairs.

    Returns:
        - (K,) trajectories, best pair first
        - (K,) classes
    """
    top = scores.flatten().topk(min(max_instances, scores.numel())).indices
    return top // scores.shape[-1], top % scores.shape[-1]


def resize_masks(
    logits: Tensor,
    input_shape: tuple[int, int],
    img_shape: tuple[int, int],
    out_shape: tuple[int, int],
) -> Tensor:
    """Resize mask logits of padded inputs to frames in one bilinear step.

    Args:
        logits: (n, T, h, w), covering the padded input.
        input_shape: (H, W) of the padded input.
        img_shape: (H, W) of the frame within it.
        out_shape: (H, W) wanted for the frame.

    Returns:
        (n, T, *out_shape) logits.
    """
    size = [
        max(out, round(out * padded / valid))
        for out, padded, valid in zip(out_shape, input_shape, img_shape)
    ]
    masks = F.interpolate(logits, size=size, mode='bilinear', align_corners=False)
    return masks[..., : out_shape[0], : out_shape[1]]
