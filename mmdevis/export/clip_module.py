"""A video model as a function of tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from mmdevis.models.detectors.deformable_mask_detr import unpadded_samples
from mmdevis.models.layers import TemporalMultiScaleDeformableAttention
from mmdevis.models.vis.devis import DeVIS

__all__ = ['OUTPUT_NAMES', 'ClipModule', 'attention_backend']

#: What a clip gives, in order.
OUTPUT_NAMES = ('scores', 'boxes', 'masks')


class ClipModule(nn.Module):
    """Everything of a video model that is a function of one clip: all but the tracker.

    It gives all trajectories: which of them are worth keeping depends on the scores, and a graph
    with outputs of fixed shape cannot depend on them.

    Args:
        model: The model; shared, not copied.
    """

    def __init__(self, model: DeVIS) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        """Run one clip.

        Args:
            frames: (1, T, 3, H, W) normalised, without padding.

        Returns:
            - ``scores``: (Q, T, classes) of the Q trajectories, 0..1
            - ``boxes``: (Q, T, 4) cxcywh in 0..1
            - ``masks``: (Q, T, h, w) logits, about H / 4 x W / 4

        Raises:
            ValueError: If it is not one clip of T frames.
        """
        model = self.model
        if frames.dim() != 5 or len(frames) != 1 or frames.shape[1] != model.num_frames:
            raise ValueError(
                f'expected one clip, (1, {model.num_frames}, 3, H, W), got {tuple(frames.shape)}'
            )
        inputs = frames[0]
        outputs = model.forward_clips(inputs, unpadded_samples(inputs))
        head = model.bbox_head
        state = outputs['hidden_states'][-1]

        def per_frame(queries: Tensor) -> Tensor:
            return queries[0].unflatten(0, (model.num_frames, -1))

        logits = head.cls_branches[-1](state)
        scores, boxes = per_frame(logits.float()).sigmoid(), per_frame(outputs['references'][-1])
        masks = head.mask_head(per_frame(state), **outputs['mask_features'].clip(0), boxes=boxes)
        values = scores.transpose(0, 1), boxes.transpose(0, 1).float(), masks.float()
        # Strides are not part of what an exported graph promises.
        return dict(zip(OUTPUT_NAMES, (value.contiguous() for value in values)))


@contextmanager
def attention_backend(model: nn.Module, name: str | None) -> Iterator[None]:
    """Have all temporal deformable attention of a model run on one back end, whatever it says.

    Args:
        model: The model; as it was after the ``with`` block.
        name: A name of :data:`mmdevis.ops.BACKENDS`.
    """
    layers = [m for m in model.modules() if isinstance(m, TemporalMultiScaleDeformableAttention)]
    before = [layer.backend for layer in layers]
    try:
        for layer in layers:
            layer.backend = name
        yield
    finally:
        for layer, backend in zip(layers, before):
            layer.backend = backend
