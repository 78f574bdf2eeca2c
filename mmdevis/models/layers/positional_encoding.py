"""Spatio-temporal position encodings of the pixels of a clip."""

import torch
from mmdet.models.layers import SinePositionalEncoding
from mmdet.models.layers.positional_encoding import SinePositionalEncoding3D
from mmdet.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class ClipPositionalEncoding(SinePositionalEncoding):
    """2-d sine encoding of each frame plus a temporal part.

    Args:
        num_frames: T. With one frame there is no temporal part.
        temporal: ``'learned'`` adds a learned (T, C) embedding (the official release),
            ``'sine'`` adds the sine encoding of the frame index (3-d sine as in VisTR).
        **kwargs: Arguments of :class:`mmdet.models.layers.SinePositionalEncoding`; use
            ``normalize=True, offset=0`` for the release's values.

    Raises:
        ValueError: If ``temporal`` is neither of the two.
    """

    def __init__(self, *args, num_frames: int = 1, temporal: str = 'learned', **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if temporal not in ('learned', 'sine'):
            raise ValueError(f"temporal must be 'learned' or 'sine', got {temporal!r}")
        self.num_frames = num_frames
        self.temporal = temporal
        if num_frames > 1 and temporal == 'learned':
            self.temporal_embed = nn.Parameter(torch.randn(num_frames, 2 * self.num_feats))
        if num_frames > 1 and temporal == 'sine':
            self.sine_3d = SinePositionalEncoding3D(*args, **kwargs)

    def init_weights(self) -> None:
        """Draw the temporal embedding from a unit normal, like the level embedding."""
        super().init_weights()
        if hasattr(self, 'temporal_embed'):
            nn.init.normal_(self.temporal_embed)

    def forward(self, mask: Tensor | None, input: Tensor | None = None) -> Tensor:
        """Encode the positions of the pixels of one feature level.

        Args:
            mask: (B * T, h, w) bool, True in padding, frame-major within a clip; None when
                nothing is padded.
            input: (B * T, c, h, w), gives the shape when ``mask`` is None.

        Returns:
            (B * T, C, h, w) with C = 2 * num_feats.
        """
        frames = self.num_frames
        if hasattr(self, 'sine_3d'):
            if mask is None:
                mask = input.new_zeros(input.shape[0], *input.shape[-2:], dtype=torch.bool)
            return self.sine_3d(mask.unflatten(0, (-1, frames))).flatten(0, 1)
        position = super().forward(mask, input=input)
        if frames == 1:
            return position
        position = position.unflatten(0, (-1, frames))
        return (position + self.temporal_embed[:, :, None, None]).flatten(0, 1)
