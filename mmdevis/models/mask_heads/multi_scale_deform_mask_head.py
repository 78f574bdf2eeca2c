"""Multi-scale deformable mask head, DeVIS Sec. 3.4 and Fig. 3."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .modulated_deform_conv import OffsetModulatedDeformConv


class QueryAttentionMap(BaseModule):
    """Attention maps of object queries on one feature level.

    Args:
        embed_dims: C.
        num_heads: M, maps for each query.
        box_prior: Add a Gaussian of the query's box to the logits, with a learned sharpness for
            each head (SMCA, arXiv 2101.07448). Not in the paper.
    """

    def __init__(self, embed_dims: int, num_heads: int, box_prior: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        if box_prior:
            self.log_sharpness = nn.Parameter(torch.zeros(num_heads))
        self.box_prior = box_prior
        self.q_proj = nn.Linear(embed_dims, embed_dims)
        self.k_proj = nn.Linear(embed_dims, embed_dims)

    def init_weights(self) -> None:
        """Xavier weights and zero biases."""
        for layer in (self.q_proj, self.k_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        query: Tensor,
        feature: Tensor,
        padding: Tensor | None,
        boxes: Tensor | None = None,
    ) -> Tensor:
        """Attend to the pixels of each query's own frame.

        Args:
            query: (T, n, C), embeddings of n instances on each frame.
            feature: (T, C, h, w).
            padding: (T, h, w) bool, True in padding, or None.
            boxes: (T, n, 4) cxcywh, relative to the frame without padding; needed for the prior.

        Returns:
            (T, n, M, h, w); the M * h * w values of a query sum to 1.

        Raises:
            ValueError: If there is a prior and no boxes.
        """
        if self.box_prior and boxes is None:
            raise ValueError('a mask head with box_prior=True needs the boxes of its instances')
        frames, count, dims = query.shape
        height, width = feature.shape[-2:]
        head_dims = dims // self.num_heads
        q = self.q_proj(query).view(frames, count, self.num_heads, head_dims)
        q = q.transpose(1, 2) / math.sqrt(head_dims)
        k = F.conv2d(feature, self.k_proj.weight[:, :, None, None], self.k_proj.bias)
        k = k.view(frames, self.num_heads, head_dims, height * width)
        logits = (q @ k).transpose(1, 2)
        if self.box_prior:
            distance = box_distance(boxes, padding, (height, width))
            logits = logits - self.log_sharpness.exp()[:, None] * distance[:, :, None]
        if padding is not None:
            logits = logits.masked_fill(padding.flatten(1)[:, None, None], float('-inf'))
        weights = logits.flatten(2).softmax(-1)
        return weights.view(frames, count, self.num_heads, height, width)


def box_distance(boxes: Tensor, padding: Tensor | None, size: tuple[int, int]) -> Tensor:
    """Squared distance of pixels from the centres of boxes, in half sides.

    Args:
        boxes: (T, n, 4) cxcywh, relative to the frame without padding; no gradient flows to them.
        padding: (T, h, w) bool, True in padding, or None.
        size: (h, w).

    Returns:
        (T, n, h * w); 1 in the middle of each side of the box.
    """
    centers, sides = boxes.detach().float().split(2, -1)  # (T, n, 2), x before y
    distance = []
    for axis, length in ((1, size[0]), (0, size[1])):
        pixels = torch.arange(length, device=boxes.device) + 0.5
        position = pixels.expand(len(boxes), length) / length
        if padding is not None:
            valid = (~padding).any(1 + axis).sum(-1, keepdim=True).clamp(min=1)
            position = pixels / valid  # (T, length)
        away = position[:, None] - centers[..., axis, None]
        # A side is at least a pixel: a smaller box would lie between the pixels.
        distance.append((away / (sides[..., axis, None].clamp(min=1 / length) / 2)) ** 2)
    return (distance[0][..., None] + distance[1][..., None, :]).flatten(2)


@MODELS.register_module()
class MultiScaleDeformMaskHead(BaseModule):
    """Decode instance masks at stride 4 from query embeddings and feature maps.

    From the coarsest used level on, every stage joins the upsampled decoder features, the adapted
    feature map of the level and, where configured, the level's attention maps.

    Args:
        embed_dims: C of queries and encoded features.
        num_heads: M, attention maps for each query and level.
        feature_channels: Channels of the finer feature maps, from stride 16 to stride 4.
        num_attention_levels: Levels with attention maps, counted from the coarsest: 3 in the final
            model, 1 in DETR's head.
        deformable: Use modulated deformable convolutions instead of plain ones.
        temporal_conv: Decode with three dilated 3-d convolutions over the clip (VisTR's head)
            instead of a per-frame output layer.
        num_groups: Groups of the group normalisation.
        unit_attention: Scale each attention map so that uniform attention is 1 everywhere. The
            maps of the release sum to 1 over all heads and pixels, which makes them tiny beside
            the features; a model trained from scratch then takes long to use them.
        box_prior: Guide the attention by the instances' boxes, see :class:`QueryAttentionMap`.
            Without it a model trained from scratch takes long to find out where its instances are,
            because encoded features say little about positions.
        encoded_features: Take the finer maps from the encoder where it has them (final model);
            otherwise the raw backbone maps (DETR's head).
        with_cp: Recompute each stage in the backward pass to save memory.

    Raises:
        ValueError: If ``num_attention_levels`` is not in 1..len(feature_channels).
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        feature_channels: Sequence[int] = (256, 256, 256),
        num_attention_levels: int = 3,
        deformable: bool = True,
        temporal_conv: bool = False,
        encoded_features: bool = True,
        unit_attention: bool = False,
        box_prior: bool = False,
        num_groups: int = 8,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.with_cp = with_cp
        stages = len(feature_channels)
        if not 1 <= num_attention_levels <= stages:
            raise ValueError(
                f'num_attention_levels must be in 1..{stages} (the finest map has no attention), '
                f'got {num_attention_levels}'
            )
        self.num_attention_levels = num_attention_levels
        self.encoded_features = encoded_features
        self.unit_attention = unit_attention
        self.attentions = nn.ModuleList(
            QueryAttentionMap(embed_dims, num_heads, box_prior) for _ in range(num_attention_levels)
        )

        def conv(in_channels: int, out_channels: int) -> nn.Module:
            if deformable:
                return OffsetModulatedDeformConv(in_channels, out_channels)
            return nn.Conv2d(in_channels, out_channels, 3, padding=1)

        def block(in_channels: int, out_channels: int) -> nn.Sequential:
            return nn.Sequential(
                conv(in_channels, out_channels),
                nn.GroupNorm(num_groups, out_channels),
                nn.ReLU(inplace=True),
            )

        widths = [embed_dims // 2 ** (i + 1) for i in range(stages + 1)]
        joined = embed_dims + num_heads
        self.stem = nn.Sequential(block(joined, joined), block(joined, widths[0]))
        self.adapters = nn.ModuleList(
            nn.Conv2d(channels, width, 1) for channels, width in zip(feature_channels, widths)
        )
        self.blocks = nn.ModuleList(
            block(widths[i] + (num_heads if i + 1 < num_attention_levels else 0), widths[i + 1])
            for i in range(stages)
        )
        self.predictor = _temporal_predictor(widths[-1]) if temporal_conv else conv(widths[-1], 1)
        self.temporal_conv = temporal_conv

    def init_weights(self) -> None:
        """He initialisation of the plain convolutions, as DETR's mask head."""
        super().init_weights()
        for module in self.modules():
            if isinstance(module, OffsetModulatedDeformConv):
                module.init_weights()
        offset_convs = {
            id(conv)
            for module in self.modules()
            if isinstance(module, OffsetModulatedDeformConv)
            for conv in (module.offset_conv, module.modulator_conv)
        }
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)) and id(module) not in offset_convs:
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(
        self,
        query: Tensor,
        coarse: Tensor,
        finer: Sequence[Tensor],
        attended: Sequence[Tensor],
        paddings: Sequence[Tensor | None],
        boxes: Tensor | None = None,
    ) -> Tensor:
        """Predict the masks of n instances of one clip.

        Args:
            query: (T, n, C) embeddings of the instances on each frame.
            coarse: (T, C, h, w), the map that decoding starts from (stride 32).
            finer: Feature maps from stride 16 to stride 4, each (T, channels, h, w).
            attended: Encoded maps for the attention, coarse to fine, each (T, C, h, w).
            paddings: Padding of ``attended``, each (T, h, w) bool or None.
            boxes: (T, n, 4) cxcywh, relative to the frame; needed for ``box_prior`` only.

        Returns:
            (n, T, H / 4, W / 4) mask logits.
        """
        boxes = None if boxes is None else [boxes]
        return self.decode_clips([query], coarse, finer, attended, paddings, boxes)

    def decode_clips(
        self,
        queries: Sequence[Tensor],
        coarse: Tensor,
        finer: Sequence[Tensor],
        attended: Sequence[Tensor],
        paddings: Sequence[Tensor | None],
        boxes: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Predict the masks of all instances of B clips at once.

        Args:
            queries: B tensors (T, n, C), where n differs from clip to clip.
            coarse: (B * T, C, h, w); this and the other maps as in :meth:`forward`.
            finer: Each (B * T, channels, h, w).
            attended: Each (B * T, C, h, w).
            paddings: Each (B * T, h, w) bool or None.
            boxes: B tensors (T, n, 4), or None.

        Returns:
            (sum of n, T, H / 4, W / 4) mask logits, clip after clip.
        """
        frames = queries[0].shape[0]
        padded, frame, slot, by_instance = _stack_instances(queries)
        if boxes is not None:
            boxes = _pad_instances(boxes)
        maps = [
            attention(padded, feature, padding, boxes)[frame, slot]
            for attention, feature, padding in zip(self.attentions, attended, paddings)
        ]
        if self.unit_attention:
            maps = [m * m[0].numel() for m in maps]

        x = self._stage(self.stem, torch.cat([coarse[frame], maps[0]], 1))
        for i, (adapter, block, feature) in enumerate(zip(self.adapters, self.blocks, finer)):
            x = F.interpolate(x, size=feature.shape[-2:], mode='nearest')
            # The adapter runs once for each frame; instances share its result.
            x = x + adapter(feature)[frame]
            if i + 1 < len(maps):
                x = torch.cat([x, maps[i + 1]], 1)
            x = self._stage(block, x)
        if self.temporal_conv:
            x = x[by_instance].unflatten(0, (-1, frames)).transpose(1, 2)
            return self._stage(self.predictor, x)[:, 0]
        x = self._stage(self.predictor, x)
        return x[by_instance].unflatten(0, (-1, frames))[:, :, 0]

    def _stage(self, stage: nn.Module, x: Tensor) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(stage, x, use_reentrant=False)
        return stage(x)


def _stack_instances(queries: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lay out the instances of clips for joint decoding.

    Args:
        queries: B tensors (T, n, C).

    Returns:
        - (B * T, max n, C), zeros where a clip has fewer instances
        - (R,) frame of each row that is decoded, R = T * sum of n, frame after frame
        - (R,) its place among the instances of that frame
        - (R,) the order of rows that puts the frames of an instance together, instance after
          instance
    """
    counts = [query.shape[1] for query in queries]
    frames, device = queries[0].shape[0], queries[0].device
    padded = _pad_instances(queries)
    # Counts stay Python numbers: no device is waited for, and exported graphs have fixed shapes.
    clips = torch.arange(len(padded), device=device).split(frames)
    frame = torch.cat([clip[:, None].expand(-1, n).flatten() for clip, n in zip(clips, counts)])
    slot = torch.cat([torch.arange(n, device=device).repeat(frames) for n in counts])
    grids = torch.arange(len(frame), device=device).split([frames * n for n in counts])
    by_instance = torch.cat([grid.view(frames, -1).t().flatten() for grid in grids])
    return padded, frame, slot, by_instance


def _pad_instances(values: Sequence[Tensor]) -> Tensor:
    """B tensors (T, n, C) as one (B * T, max n, C), filled up with zeros."""
    most = max(value.shape[1] for value in values)
    return torch.cat([F.pad(value, (0, 0, 0, most - value.shape[1])) for value in values])


def _temporal_predictor(channels: int, hidden: int = 12) -> nn.Sequential:
    """Three dilated 3-d convolutions over (channels, T, h, w), then one logit per pixel."""
    layers: list[nn.Module] = []
    for in_channels in (channels, hidden, hidden):
        layers += [
            nn.Conv3d(in_channels, hidden, 3, padding=2, dilation=2),
            nn.GroupNorm(4, hidden),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.Conv3d(hidden, 1, 1))
