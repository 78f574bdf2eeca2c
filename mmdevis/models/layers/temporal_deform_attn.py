"""Temporal multi-scale deformable attention (TMSDA), DeVIS Eq. (3) and (4)."""

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.registry import MODELS
from torch import Tensor, nn

from mmdevis.ops import temporal_deform_attn


@MODELS.register_module()
class TemporalMultiScaleDeformableAttention(MultiScaleDeformableAttention):
    """Multi-scale deformable attention that also samples the other frames of a clip.

    A query of frame t samples ``num_points`` locations per level of its own frame and
    ``num_temporal_points`` per level of every other frame. One softmax runs over all of them, so
    the whole layer is a single deformable-attention call over T * L levels (paper Sec. 3.2).
    With ``num_temporal_points=0`` or ``num_frames=1`` the temporal projections do not exist and
    the layer is plain multi-scale deformable attention for each frame.

    Args:
        num_frames: T, frames of a clip.
        num_temporal_points: K_temp, sampling points per head and level on each other frame.
        instance_aware: Sample another frame around the reference that the same query index has
            *there* (decoder, paper Sec. 3.3) instead of around the query's own reference.
        backend: Name of the sampling back end, see :mod:`mmdevis.ops`; None chooses one.
        **kwargs: Arguments of :class:`mmcv.ops.MultiScaleDeformableAttention`: ``embed_dims``,
            ``num_heads``, ``num_levels``, ``num_points`` (K_curr), ``dropout`` and others.

    Raises:
        ValueError: If ``num_frames`` < 1 or ``num_temporal_points`` < 0.
    """

    def __init__(
        self,
        *args,
        num_frames: int = 1,
        num_temporal_points: int = 4,
        instance_aware: bool = False,
        backend: str | None = None,
        batch_first: bool = True,
        **kwargs,
    ) -> None:
        if num_frames < 1 or num_temporal_points < 0:
            raise ValueError(
                'expected num_frames >= 1 and num_temporal_points >= 0, got '
                f'num_frames={num_frames}, num_temporal_points={num_temporal_points}'
            )
        self.num_frames = num_frames
        self.num_temporal_points = num_temporal_points
        self.instance_aware = instance_aware
        self.backend = backend
        super().__init__(*args, batch_first=batch_first, **kwargs)

    @property
    def has_temporal(self) -> bool:
        """Whether the layer samples other frames at all."""
        return self.num_frames > 1 and self.num_temporal_points > 0

    def _make_temporal_layers(self) -> None:
        slots = (self.num_frames - 1) * self.num_levels * self.num_temporal_points
        self.temporal_sampling_offsets = nn.Linear(self.embed_dims, self.num_heads * slots * 2)
        self.temporal_attention_weights = nn.Linear(self.embed_dims, self.num_heads * slots)

    def init_weights(self) -> None:
        """Initialise as mmcv does; temporal slots start from the same directions."""
        super().init_weights()
        if not self.has_temporal:
            return
        # mmcv's constructor calls this method before a subclass can add its own layers.
        if not hasattr(self, 'temporal_sampling_offsets'):
            self._make_temporal_layers()
        self.copy_spatial_to_temporal()

    @torch.no_grad()
    def copy_spatial_to_temporal(self) -> None:
        """Copy the current-frame projections into every temporal slot.

        This is how the paper starts the video model from an image model. Where K_temp exceeds
        K_curr, points are repeated cyclically.
        """
        if not self.has_temporal:
            return
        for spatial, temporal in (
            (self.sampling_offsets, self.temporal_sampling_offsets),
            (self.attention_weights, self.temporal_attention_weights),
        ):
            for name in ('weight', 'bias'):
                getattr(temporal, name).copy_(self.temporal_from_spatial(getattr(spatial, name)))

    def temporal_from_spatial(self, spatial: Tensor) -> Tensor:
        """Repeat a current-frame projection for every temporal slot.

        Args:
            spatial: Weight or bias of ``sampling_offsets`` or ``attention_weights``,
                (heads * levels * K_curr * n, ...) with n = 2 for offsets and 1 for weights.

        Returns:
            (heads * (T - 1) * levels * K_temp * n, ...).
        """
        heads, levels = self.num_heads, self.num_levels
        points = torch.arange(self.num_temporal_points, device=spatial.device) % self.num_points
        slots = spatial.reshape(heads, 1, levels, self.num_points, -1, *spatial.shape[1:])
        slots = slots[:, :, :, points].expand(-1, self.num_frames - 1, *([-1] * (slots.dim() - 2)))
        return slots.reshape(-1, *spatial.shape[1:])

    def predict_samples(self, query: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Predict where queries look and how much each place counts.

        Args:
            query: (B, T, Q, C) with the positional part added.

        Returns:
            ``offsets``, ``logits``, ``temporal_offsets`` and ``temporal_logits`` as
            :func:`mmdevis.ops.temporal_deform_attn` takes them; the last two are None without
            temporal samples.
        """
        lead = (*query.shape[:3], self.num_heads)
        levels, points = self.num_levels, self.num_points
        offsets = self.sampling_offsets(query).view(*lead, levels, points, 2)
        logits = self.attention_weights(query).view(*lead, levels, points)
        if not self.has_temporal:
            return offsets, logits, None, None
        lead = (*lead, self.num_frames - 1, levels, self.num_temporal_points)
        temporal_offsets = self.temporal_sampling_offsets(query).view(*lead, 2)
        temporal_logits = self.temporal_attention_weights(query).view(*lead)
        return offsets, logits, temporal_offsets, temporal_logits

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: tuple[tuple[int, int], ...] = (),
        **kwargs,
    ) -> Tensor:
        """Attend to all frames of each clip.

        Args:
            query: (B, T * Q, C), frame-major.
            key: Unused, deformable attention has no keys; kept for MMDetection's layers.
            value: (B, T * N, C), frame-major, N the number of pixels of all levels together;
                ``query`` when None.
            identity: Added to the output, shape of ``query``; ``query`` when None.
            query_pos: Added to ``query`` before the projections, shape of ``query``.
            key_padding_mask: (B, T * N) bool, True where a pixel is padding and has no value.
            reference_points: (B, T * Q, L, 2 or 4), normalised and multiplied by valid ratios.
            spatial_shapes: L pairs (h, w), fine to coarse.
            **kwargs: What other attentions need, such as the positions of keys.

        Returns:
            (B, T * Q, C).
        """
        value = self.project_value(query if value is None else value, key_padding_mask)
        identity = query if identity is None else identity
        if query_pos is not None:
            query = query + query_pos
        output = self.attend(
            query.view(query.shape[0], self.num_frames, -1, self.embed_dims),
            value,
            reference_points.unflatten(1, (self.num_frames, -1)),
            spatial_shapes,
        )
        return self.dropout(output.flatten(1, 2)) + identity

    def project_value(self, value: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """Project the pixels.

        Args:
            value: (B, T * N, C).
            key_padding_mask: (B, T * N) bool, True in padding, which gets zeros.

        Returns:
            (B, T, N, heads, channels of a head).
        """
        value = self.value_proj(value)
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0.0)
        width = value.shape[-1] // self.num_heads
        return value.view(value.shape[0], self.num_frames, -1, self.num_heads, width)

    def attend(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: tuple[tuple[int, int], ...],
    ) -> Tensor:
        """Predict where to sample, sample, and project.

        Args:
            query: (B, T, Q, C), positions added.
            value: From :meth:`project_value`.
            reference_points: (B, T, Q, L, 2 or 4).
            spatial_shapes: L pairs (h, w).

        Returns:
            (B, T, Q, C).
        """
        offsets, logits, temporal_offsets, temporal_logits = self.predict_samples(query)
        output = temporal_deform_attn(
            value,
            spatial_shapes,
            reference_points,
            offsets,
            logits,
            temporal_offsets,
            temporal_logits,
            instance_aware=self.instance_aware,
            backend=self.backend,
        )
        return self.output_proj(output)
