"""Runs one clip and answers questions about its attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmdet.structures import DetDataSample
from torch import Tensor

from mmdevis.models.dense_heads.deformable_mask_detr_head import MaskFeatures, resize_masks
from mmdevis.models.vis import DeVIS

from .recorder import AttentionRecorder
from .samples import QuerySamples


@dataclass(frozen=True)
class MaskAttention:
    """Attention maps of the mask head for one trajectory.

    Attributes:
        maps: Coarse to fine, each (T, M, H, W) at the size of the frame without padding; what a
            query gives to a whole frame, padding included, sums to 1 before resizing.
        masks: (T, H, W), predicted probability.
    """

    maps: list[Tensor]
    masks: Tensor


@dataclass(frozen=True)
class ClipAttention:
    """Attention of one clip of T frames, Q trajectories.

    Attributes:
        model: The model that ran.
        record: What its attention layers were given.
        scores: (T, Q, classes), 0..1, of the last decoder layer.
        boxes: (layers, T, Q, 4) cxcywh after each decoder layer, normalised to the frame.
        input_shape: (H, W) of the padded input.
        img_shape: (H, W) of the frames within it.
    """

    model: DeVIS
    record: AttentionRecorder
    scores: Tensor
    boxes: Tensor
    input_shape: tuple[int, int]
    img_shape: tuple[int, int]
    _embeddings: Tensor
    _mask_features: MaskFeatures

    @property
    def num_queries(self) -> int:
        """Q, trajectories of the clip."""
        return self.scores.shape[1]

    def best_query(self, label: int | None = None, rank: int = 0) -> tuple[int, int, float]:
        """Trajectory with the highest mean score over the clip.

        Args:
            label: Class; None takes the best of any.
            rank: 0 for the best, 1 for the second best, ...

        Returns:
            Trajectory, its class and its score in 0..1.

        Raises:
            IndexError: If there is no such class or rank.
        """
        mean = self.scores.mean(0)
        if label is not None and not 0 <= label < mean.shape[1]:
            raise IndexError(f'class {label}: the model knows classes 0..{mean.shape[1] - 1}')
        best, labels = mean.max(1) if label is None else (mean[:, label], None)
        if not 0 <= rank < len(best):
            raise IndexError(f'rank {rank}: the clip has {len(best)} trajectories')
        query = int(best.argsort(descending=True)[rank])
        return query, int(labels[query]) if label is None else label, float(best[query])

    def decoder_samples(self, query: int, layer: int = -1) -> QuerySamples:
        """Where a trajectory looks in a decoder layer."""
        return self.record.decoder[layer].samples(query, self.record.valid_ratios)

    def encoder_samples(self, x: float, y: float, level: int = 0, layer: int = -1) -> QuerySamples:
        """Where a pixel looks in an encoder layer.

        Args:
            x: In 0..1 of the frame's width.
            y: In 0..1 of the frame's height.
            level: Of the pixel, 0 is the finest.
            layer: Encoder layer.

        Returns:
            The samples of the pixel of that level that holds the place.

        Raises:
            ValueError: If the place is outside the frame.
            IndexError: If there is no such level.
        """
        if not (0 <= x < 1 and 0 <= y < 1):
            raise ValueError(f'the place ({x:.3f}, {y:.3f}) is outside the frame, 0..1')
        call = self.record.encoder[layer]
        shapes = call.spatial_shapes
        if not 0 <= level < len(shapes):
            raise IndexError(f'level {level}: the encoder has levels 0..{len(shapes) - 1}')
        height, width = shapes[level]
        ratio_x, ratio_y = self.record.valid_ratios[0, level].tolist()
        column, row = int(x * ratio_x * width), int(y * ratio_y * height)
        before = sum(h * w for h, w in shapes[:level])
        return call.samples(before + row * width + column, self.record.valid_ratios)

    @torch.no_grad()
    def mask_attention(self, query: int) -> MaskAttention:
        """Run the mask head for one trajectory."""
        with self.record as record:
            logits = self.model.bbox_head.mask_head(
                self._embeddings[:, query : query + 1],
                **self._mask_features.clip(0),
                boxes=self.boxes[-1][:, query : query + 1],
            )
        shapes = (self.input_shape, self.img_shape, self.img_shape)
        return MaskAttention(
            maps=[resize_masks(m[:, 0].float(), *shapes) for m in record.mask_maps],
            masks=resize_masks(logits.float(), *shapes)[0].sigmoid(),
        )


@torch.no_grad()
def record_clip(model: DeVIS, clip: Tensor, img_shape: tuple[int, int]) -> ClipAttention:
    """Run a clip and record its attention.

    Args:
        model: The video model, in evaluation mode.
        clip: (1, T, 3, H, W) normalised, padded frames.
        img_shape: (H, W) of the frames without padding.

    Returns:
        The recorded clip.

    Raises:
        ValueError: If the clip has another length than the model's.
        TypeError: If the model's attention has no sampling points.
    """
    if clip.dim() != 5 or clip.shape[:2] != (1, model.num_frames):
        raise ValueError(
            f'expected one clip of {model.num_frames} frames, (1, {model.num_frames}, 3, H, W), '
            f'got {tuple(clip.shape)}'
        )
    input_shape = tuple(clip.shape[-2:])
    meta = dict(img_shape=img_shape, batch_input_shape=input_shape)
    frames = [DetDataSample(metainfo=meta) for _ in range(model.num_frames)]
    with AttentionRecorder(model) as record:
        outputs = model.forward_clips(clip.flatten(0, 1), frames)
    logits, boxes = model.bbox_head(outputs['hidden_states'], outputs['references'])

    def per_frame(queries: Tensor) -> Tensor:
        return queries.unflatten(-2, (model.num_frames, -1))

    return ClipAttention(
        model=model,
        record=record,
        scores=per_frame(logits[-1, 0].float()).sigmoid(),
        boxes=per_frame(boxes[:, 0].float()),
        input_shape=input_shape,
        img_shape=img_shape,
        _embeddings=per_frame(outputs['hidden_states'][-1, 0]),
        _mask_features=outputs['mask_features'],
    )
