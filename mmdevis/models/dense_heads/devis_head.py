"""Head of the video model."""

from collections.abc import Sequence

from mmdet.registry import MODELS
from torch import Tensor

from mmdevis.structures import ClipPrediction

from .deformable_mask_detr_head import (
    DeformableMaskDETRHead,
    MaskFeatures,
    Trajectories,
    resize_masks,
)


@MODELS.register_module()
class DeVISHead(DeformableMaskDETRHead):
    """Head over clips: losses of trajectories, and predictions that the tracker joins."""

    def select_clip(
        self,
        hidden_states: Tensor,
        references: Sequence[Tensor],
        mask_features: MaskFeatures,
        max_instances: int | None = None,
    ) -> Trajectories:
        """The best (trajectory, class) pairs of one clip, masks still small.

        Args:
            hidden_states: (layers, 1, T * Q, C).
            references: As in ``forward``.
            mask_features: What the mask head reads.
            max_instances: K; None takes ``test_cfg.max_per_clip``.

        Returns:
            The pairs, best first.
        """
        return self.select(
            hidden_states[-1],
            self.cls_branches[-1](hidden_states[-1]),
            references[-1],
            mask_features,
            0,
            max_instances or self.test_cfg['max_per_clip'],
        )


def to_clip_prediction(
    found: Trajectories,
    frame_indices: Tensor,
    input_shape: tuple[int, int],
    img_shape: tuple[int, int],
    out_shape: tuple[int, int],
) -> ClipPrediction:
    """Bring selected trajectories into the form that the tracker takes.

    Args:
        found: The trajectories.
        frame_indices: (T,) frame numbers in the video.
        input_shape: (H, W) of the padded input.
        img_shape: (H, W) of the frames within it.
        out_shape: (H, W) wanted for the masks, usually that of the original frames.

    Returns:
        The same instances.
    """
    masks = resize_masks(found.masks, input_shape, img_shape, out_shape)
    return ClipPrediction(
        frame_indices=frame_indices,
        scores=found.scores,
        labels=found.labels,
        masks=masks.sigmoid_(),
        centers=found.boxes[..., :2],
        mask_index=found.mask_index,
    )
