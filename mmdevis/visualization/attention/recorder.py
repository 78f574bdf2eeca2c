"""Keeps what the attention layers of a model were given, without changing what they do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmdevis.models.detectors import DeformableMaskDETR
from mmdevis.models.layers import TemporalMultiScaleDeformableAttention

from .samples import QuerySamples, query_samples


@dataclass(frozen=True)
class AttentionCall:
    """One call of a temporal deformable attention layer.

    Attributes:
        layer: The layer.
        query: (B, T * Q, C), frame-major, with the positional part added.
        reference_points: (B, T * Q, L, 2 or 4).
        spatial_shapes: L pairs (h, w).
    """

    layer: TemporalMultiScaleDeformableAttention
    query: Tensor
    reference_points: Tensor
    spatial_shapes: tuple[tuple[int, int], ...]

    def samples(
        self, index: int, valid_ratios: Tensor | None = None, clip: int = 0
    ) -> QuerySamples:
        """Where a query looks, see :func:`query_samples`."""
        return query_samples(
            self.layer,
            self.query,
            self.reference_points,
            self.spatial_shapes,
            index,
            valid_ratios,
            clip,
        )


class AttentionRecorder:
    """Records attention during forward passes, as a context manager.

    Forward hooks only keep references to tensors that exist anyway. What is recorded is that of the
    last forward pass; hooks are gone when the context ends.

    Args:
        model: Image or video model.

    Attributes:
        encoder: One call per encoder layer.
        decoder: One call per decoder layer, of its cross-attention.
        mask_maps: Attention maps of the mask head, coarse to fine, each (T, n, M, h, w).
        valid_ratios: (B, L, 2), valid part of width and height of each level.

    Raises:
        TypeError: If an attention layer is of another kind and has no sampling points.

    Examples:
        >>> with AttentionRecorder(model) as record:
        ...     model.predict_clip(clip, range(4), img_shape, img_shape)
        >>> record.decoder[-1].samples(index=3).share()
    """

    def __init__(self, model: DeformableMaskDETR) -> None:
        self.model = model
        self.encoder: list[AttentionCall] = []
        self.decoder: list[AttentionCall] = []
        self.mask_maps: list[Tensor] = []
        self.valid_ratios: Tensor | None = None
        self._handles: list[RemovableHandle] = []
        self._layers = [
            (f'encoder layer {i}', layer.self_attn, self.encoder)
            for i, layer in enumerate(model.encoder.layers)
        ] + [
            (f'decoder layer {i}', layer.cross_attn, self.decoder)
            for i, layer in enumerate(model.decoder.layers)
        ]
        for name, layer, _ in self._layers:
            if not isinstance(layer, TemporalMultiScaleDeformableAttention):
                raise TypeError(
                    f'{name} is {type(layer).__name__}, which has no sampling points to show; only '
                    'TemporalMultiScaleDeformableAttention has'
                )

    def __enter__(self) -> AttentionRecorder:
        mask_head = self.model.bbox_head.mask_head
        self._handles = [
            self.model.encoder.register_forward_pre_hook(self._begin, with_kwargs=True),
            mask_head.register_forward_pre_hook(lambda *_: self.mask_maps.clear()),
        ]
        for attention in mask_head.attentions:
            self._handles.append(
                attention.register_forward_hook(
                    lambda module, args, output: self.mask_maps.append(output)
                )
            )
        for _, layer, calls in self._layers:
            hook = partial(_keep_call, calls)
            self._handles.append(layer.register_forward_pre_hook(hook, with_kwargs=True))
        return self

    def _begin(self, encoder: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        self.encoder.clear()
        self.decoder.clear()
        self.valid_ratios = kwargs['valid_ratios']

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


def _keep_call(
    calls: list[AttentionCall],
    layer: TemporalMultiScaleDeformableAttention,
    args: tuple,
    kwargs: dict[str, Any],
) -> None:
    query, position = kwargs['query'], kwargs.get('query_pos')
    query = query if position is None else query + position
    calls.append(AttentionCall(layer, query, kwargs['reference_points'], kwargs['spatial_shapes']))
