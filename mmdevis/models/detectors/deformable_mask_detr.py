"""Image model of the COCO stage: Deformable DETR with the multi-scale mask head."""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.detectors import DeformableDETR
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample, SampleList
from torch import Tensor, nn

from mmdevis.utils.losses import check_finite
from mmdevis.utils.pieces import is_watched, prefers_pieces

from ..dense_heads.deformable_mask_detr_head import MaskFeatures
from ..layers import (
    ClipPositionalEncoding,
    DeVISDecoder,
    DeVISEncoder,
    clear_padding,
    frame_padding,
)

# Frames that a CPU's backbone works on at a time: with one, the weights of its deep layers are read
# as often as there are frames; with all, its maps leave the cache.
_BACKBONE_FRAMES = 3


@MODELS.register_module()
class DeformableMaskDETR(DeformableDETR):
    """Deformable DETR that also predicts instance masks (paper Sec. 4.1, COCO stage).

    It works on clips of ``num_frames`` frames, one for images; the video model inherits the whole
    path from pixels to queries.

    Args:
        num_frames: T, frames of a clip.
        encoder, decoder, positional_encoding, bbox_head: As for MMDetection's ``DeformableDETR``;
            numbers of frames and levels are filled in from the model's own.
        with_box_refine: Let each decoder layer refine the boxes of the layer before.
        ignore_padding: Clear the padded area of all maps, so that a clip's results do not depend
            on what lies there. The release, which cannot batch clips, does not do so for images:
            there the neck's norm and the mask head's convolutions see it.
        frozen_parts: Beginnings of the names of parameters that are not trained, such as
            ``'bbox_head.cls_branches'`` (COCO stage).
        num_feature_levels: L, levels of the encoder.
        num_query_groups: Groups of queries in training (Group DETR, arXiv 2207.13085, not part of
            the paper). Each group is matched to all instances on its own and sees no other group;
            inference uses the first, at no cost. More queries learn from each instance, which is
            what a short training from scratch lacks.
        **kwargs: Arguments of :class:`mmdet.models.detectors.DeformableDETR`.

    Raises:
        ValueError: If ``as_two_stage`` is set, which queries of clips do not have,
            ``num_queries`` is not divisible by ``num_frames``, or no parameter's name begins with
            one of ``frozen_parts``.
    """

    #: No kernel here mistakes the order of a map, see `lay_out_for_inference`.
    reads_channels_last = True

    def __init__(
        self,
        *args,
        encoder: dict,
        decoder: dict,
        positional_encoding: dict,
        bbox_head: dict,
        num_queries: int = 300,
        num_frames: int = 1,
        num_feature_levels: int = 4,
        with_box_refine: bool = True,
        as_two_stage: bool = False,
        ignore_padding: bool = False,
        frozen_parts: Sequence[str] = (),
        num_query_groups: int = 1,
        **kwargs,
    ) -> None:
        if as_two_stage:
            raise ValueError('as_two_stage=True is not available for DeVIS; set it to False')
        if num_queries % num_frames:
            raise ValueError(
                f'num_queries={num_queries} counts the whole clip and must be divisible by '
                f'num_frames={num_frames}'
            )
        self.num_frames = num_frames
        self.num_query_groups = num_query_groups
        self.ignore_padding = ignore_padding
        encoder, decoder = copy.deepcopy(encoder), copy.deepcopy(decoder)
        per_clip = dict(num_frames=num_frames, num_levels=num_feature_levels)
        encoder['num_frames'] = num_frames
        encoder['layer_cfg']['self_attn_cfg'].update(per_clip)
        decoder['layer_cfg']['cross_attn_cfg'].update(per_clip)
        decoder['refine_references'] = with_box_refine
        bbox_head = copy.deepcopy(bbox_head)
        bbox_head.update(num_frames=num_frames, num_query_groups=num_query_groups)
        super().__init__(
            *args,
            encoder=encoder,
            decoder=decoder,
            positional_encoding=dict(positional_encoding, num_frames=num_frames),
            bbox_head=bbox_head,
            num_queries=num_queries,
            num_feature_levels=num_feature_levels,
            with_box_refine=with_box_refine,
            **kwargs,
        )
        self._freeze(frozen_parts)

    def _freeze(self, parts: Sequence[str]) -> None:
        for part in parts:
            found = [p for name, p in self.named_parameters() if name.startswith(part)]
            if not found:
                raise ValueError(f"frozen_parts: no parameter's name begins with {part!r}")
            for parameter in found:
                parameter.requires_grad_(False)

    def _init_layers(self) -> None:
        self.positional_encoding = ClipPositionalEncoding(**self.positional_encoding)
        self.encoder = DeVISEncoder(**self.encoder)
        self.decoder = DeVISDecoder(**self.decoder)
        self.embed_dims = self.encoder.embed_dims
        self.query_embedding = nn.Embedding(
            self.num_queries * self.num_query_groups, 2 * self.embed_dims
        )
        self.level_embed = nn.Parameter(torch.randn(self.num_feature_levels, self.embed_dims))
        self.reference_points_fc = nn.Linear(self.embed_dims, 2)

    def pre_transformer(
        self, mlvl_feats: Sequence[Tensor], batch_data_samples: SampleList
    ) -> tuple[dict, dict]:
        """Flatten the frames of each clip into one sequence.

        Args:
            mlvl_feats: Levels of the neck, each (B * T, C, h, w), fine to coarse.
            batch_data_samples: B * T samples with ``batch_input_shape`` and ``img_shape``.

        Returns:
            Arguments of :meth:`forward_encoder` and of :meth:`forward_decoder`.
        """
        # MMDetection's own method asks tensors for their shapes, which exported graphs cannot.
        padding = frame_padding(batch_data_samples, mlvl_feats[0].device)
        tokens, positions, masks = [], [], []
        for feat, level in zip(mlvl_feats, self.level_embed):
            mask = None
            if padding is not None:
                mask = F.interpolate(padding[None].float(), size=feat.shape[-2:])[0].bool()
                masks.append(mask)
            position = self.positional_encoding(mask, input=feat) + level[:, None, None]
            tokens.append(feat.flatten(2).transpose(1, 2))
            positions.append(position.flatten(2).transpose(1, 2))

        def join_frames(levels: Sequence[Tensor]) -> Tensor:
            """L times (B * T, h * w, ...) to (B, T * N, ...)."""
            return torch.cat(list(levels), 1).unflatten(0, (-1, self.num_frames)).flatten(1, 2)

        # All frames of a clip have one size.
        ratios = [self.get_valid_ratio(mask[:: self.num_frames]) for mask in masks]
        whole = mlvl_feats[0].new_ones(len(mlvl_feats[0]) // self.num_frames, len(mlvl_feats), 2)
        mask = join_frames([mask.flatten(1) for mask in masks]) if masks else None
        shared = dict(
            # Python numbers: kernels need the sizes without waiting for the device.
            spatial_shapes=tuple(tuple(feat.shape[-2:]) for feat in mlvl_feats),
            valid_ratios=torch.stack(ratios, 1) if ratios else whole,
        )
        encoder_inputs = dict(
            feat=join_frames(tokens), feat_mask=mask, feat_pos=join_frames(positions), **shared
        )
        decoder_inputs = dict(memory_mask=mask, memory_pos=encoder_inputs['feat_pos'], **shared)
        return encoder_inputs, decoder_inputs

    def forward_encoder(
        self,
        feat: Tensor,
        feat_mask: Tensor | None,
        feat_pos: Tensor,
        spatial_shapes: tuple[tuple[int, int], ...],
        valid_ratios: Tensor,
    ) -> dict:
        """Encode (B, T * N, C) features; see :class:`DeVISEncoder`."""
        memory = self.encoder(
            query=feat,
            query_pos=feat_pos,
            key_padding_mask=feat_mask,
            spatial_shapes=spatial_shapes,
            valid_ratios=valid_ratios,
        )
        return dict(memory=memory, memory_mask=feat_mask, spatial_shapes=spatial_shapes)

    def pre_decoder(
        self,
        memory: Tensor,
        memory_mask: Tensor | None,
        spatial_shapes: tuple[tuple[int, int], ...],
    ) -> tuple[dict, dict]:
        """Learned queries and their reference points, those of all groups in training.

        Args:
            memory: (B, T * N, C).
            memory_mask: Unused, as the sizes.
            spatial_shapes: L pairs (h, w).

        Returns:
            Arguments of :meth:`forward_decoder`, and nothing for the head. The queries of a frame
            stand together, group after group.
        """
        embedding = self.query_embedding.weight
        mask = None
        if self.num_query_groups > 1:
            # (T, groups, Q, 2 * C)
            groups = embedding.view(self.num_frames, self.num_query_groups, -1, embedding.shape[1])
            if self.training:
                group = torch.arange(self.num_query_groups, device=embedding.device)
                group = group.repeat_interleave(groups.shape[2]).repeat(self.num_frames)
                mask = group[:, None] != group
            else:
                embedding = groups[:, 0].flatten(0, 1)
        query_pos, query = embedding.expand(len(memory), -1, -1).chunk(2, -1)
        references = self.reference_points_fc(query_pos).sigmoid()
        queries = dict(query=query, query_pos=query_pos, reference_points=references)
        return dict(memory=memory, query_mask=mask, **queries), {}

    def forward_decoder(
        self,
        query: Tensor,
        query_pos: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None,
        memory_pos: Tensor,
        reference_points: Tensor,
        spatial_shapes: tuple[tuple[int, int], ...],
        valid_ratios: Tensor,
        query_mask: Tensor | None = None,
    ) -> dict:
        """Decode (B, T * Q, C) queries; see :class:`DeVISDecoder`."""
        states, boxes = self.decoder(
            query=query,
            query_pos=query_pos,
            value=memory,
            key_padding_mask=memory_mask,
            reference_points=reference_points,
            spatial_shapes=spatial_shapes,
            valid_ratios=valid_ratios,
            reg_branches=self.bbox_head.reg_branches,
            key_pos=memory_pos,
            query_mask=query_mask,
        )
        return dict(hidden_states=states, references=[reference_points, *boxes])

    def forward_clips(
        self,
        inputs: Tensor,
        frame_samples: SampleList,
        backbone_feats: Sequence[Tensor] | None = None,
    ) -> dict:
        """Run everything up to the queries for a batch of clips.

        Args:
            inputs: (B * T, 3, H, W) normalised frames, frame-major within a clip.
            frame_samples: B * T samples with ``batch_input_shape`` and ``img_shape``.
            backbone_feats: Maps of the backbone, (B * T, C, h, w), where they are known already.

        Returns:
            Arguments of the head (``hidden_states``, ``references``, ``mask_features``) and
            ``memory``, a list of (B, T, C, h, w), fine to coarse.
        """
        if backbone_feats is None:
            backbone_feats = self._run_backbone(inputs)
        padding = frame_padding(frame_samples, inputs.device) if self.ignore_padding else None
        if padding is not None:
            backbone_feats = [clear_padding(feat, padding) for feat in backbone_feats]
        feats = self.neck(backbone_feats[-len(self.neck.convs) :])
        encoder_inputs, decoder_inputs = self.pre_transformer(feats, frame_samples)
        encoded = self.forward_encoder(**encoder_inputs)
        queries, _ = self.pre_decoder(**encoded)
        outputs = self.forward_decoder(**decoder_inputs, **queries)

        shapes = encoder_inputs['spatial_shapes']
        memory = self._split_levels(encoded['memory'], shapes)
        mask = encoder_inputs['feat_mask']
        paddings = [None] * len(shapes) if mask is None else self._split_levels(mask, shapes)
        mask_features = self._mask_features(backbone_feats, memory, paddings)
        if padding is not None:
            mask_features.coarse = clear_padding(mask_features.coarse, padding)
            mask_features.finer = [clear_padding(feat, padding) for feat in mask_features.finer]
        outputs['mask_features'] = mask_features
        outputs['memory'] = memory
        return outputs

    def _run_backbone(self, inputs: Tensor) -> Sequence[Tensor]:
        """Feature maps of (B * T, 3, H, W) frames, few frames at a time where that is faster."""
        whole = self.training or len(inputs) <= _BACKBONE_FRAMES or is_watched(self.backbone)
        if whole or not prefers_pieces(inputs):
            return self.backbone(inputs)
        pieces = map(self.backbone, inputs.split(_BACKBONE_FRAMES))
        return [torch.cat(level) for level in zip(*pieces)]

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Neck features of (B, 3, H, W) inputs, fine to coarse."""
        return self.neck(self.backbone(batch_inputs)[-len(self.neck.convs) :])

    def _split_levels(self, tokens: Tensor, shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """(B, T * N, C) or (B, T * N) tokens to maps (B, T, C, h, w) or (B, T, h, w)."""
        tokens = tokens.unflatten(1, (self.num_frames, -1))
        levels = tokens.split([h * w for h, w in shapes], 2)
        maps = [level.unflatten(2, shape) for level, shape in zip(levels, shapes)]
        return [m.permute(0, 1, 4, 2, 3) if m.dim() == 5 else m for m in maps]

    def _mask_features(
        self,
        backbone_feats: Sequence[Tensor],
        memory: Sequence[Tensor],
        paddings: Sequence[Tensor | None],
    ) -> MaskFeatures:
        """Pick the maps of stride 32, 16, 8 and 4 for the mask head."""
        # The neck may add levels coarser than the backbone's last; decoding starts at that one.
        encoded = list(memory[: len(self.neck.convs)])[::-1]
        attended = self.bbox_head.mask_head.num_attention_levels
        finer = [feat.unflatten(0, (-1, self.num_frames)) for feat in list(backbone_feats)[-2::-1]]
        if self.bbox_head.mask_head.encoded_features:
            finer[: len(encoded) - 1] = encoded[1:]
        return MaskFeatures(
            coarse=encoded[0],
            finer=finer,
            attended=encoded[:attended],
            paddings=list(paddings[: len(self.neck.convs)])[::-1][:attended],
        )

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of annotated images.

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: B samples with ``gt_instances``.

        Returns:
            Weighted losses, see :meth:`DeformableMaskDETRHead.loss`.

        Raises:
            NonFiniteLossError: If a loss is not finite; names the loss and the sample.
        """
        outputs = self.forward_clips(batch_inputs, batch_data_samples)
        outputs.pop('memory')
        clips = [[sample] for sample in batch_data_samples]
        losses = self.bbox_head.loss(**outputs, batch_data_samples=clips)
        check_finite(losses, batch_data_samples)
        return losses

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """Detect and segment instances of images.

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: B samples with ``img_shape``, ``ori_shape``, ``batch_input_shape``.
            rescale: Return results at the original size.

        Returns:
            The samples with ``pred_instances``.
        """
        outputs = self.forward_clips(batch_inputs, batch_data_samples)
        outputs.pop('memory')
        clips = [[sample] for sample in batch_data_samples]
        results = self.bbox_head.predict(**outputs, batch_data_samples=clips, rescale=rescale)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: SampleList | None = None
    ) -> dict[str, Tensor | list[Tensor]]:
        """Raw outputs of (B, 3, H, W) normalised inputs.

        Returns:
            ``cls_scores`` (layers, B, T * Q, classes) logits, ``bbox_preds``
            (layers, B, T * Q, 4) normalised cxcywh, ``hidden_states`` (B, T * Q, C) of the last
            layer and ``memory``, a list of (B, T, C, h, w), fine to coarse.
        """
        samples = batch_data_samples or unpadded_samples(batch_inputs)
        outputs = self.forward_clips(batch_inputs, samples)
        cls_scores, bbox_preds = self.bbox_head(outputs['hidden_states'], outputs['references'])
        return dict(
            cls_scores=cls_scores,
            bbox_preds=bbox_preds,
            hidden_states=outputs['hidden_states'][-1],
            memory=outputs['memory'],
        )


def unpadded_samples(inputs: Tensor) -> list[DetDataSample]:
    """Samples that say that (N, 3, H, W) frames have no padding."""
    shape = tuple(inputs.shape[-2:])
    meta = dict(img_shape=shape, ori_shape=shape, batch_input_shape=shape)
    return [DetDataSample(metainfo=meta) for _ in range(len(inputs))]
