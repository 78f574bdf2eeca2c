"""Head of the video model."""

from collections.abc import Sequence

from mmdet.registry import MODELS
from torch import Tensor

from mmdevis.structures import ClipPrediction

from .deformable_mask_detr_head import DeformableMaskDETRHead, MaskFeatures, resize_masks


@MODELS.register_module()
class DeVISHead(DeformableMaskDETRHead):
    """Head over clips: losses of trajectories, and predictions that the tracker joins."""

    def predict_clip(
        self,
        hidden_states: Tensor,
        references: Sequence[Tensor],
        mask_features: MaskFeatures,
        frame_indices: Tensor,
        input_shape: tuple[int, int],
        img_shape: tuple[int, int],
        ori_shape: tuple[int, int],
        index: int = 0,
        max_instances: int | None = None,
    ) -> ClipPrediction:
        """Instances of one clip.

        Args:
            hidden_states: (layers, B, T * Q, C).
            references: As in ``forward``.
            mask_features: What the mask head reads.
            frame_indices: (T,) frame numbers in the video.
            input_shape: (H, W) of the padded input.
            img_shape: (H, W) of the frames within it.
            ori_shape: (H, W) of the original frames, the size of the masks.
            index: Clip within the batch.
            max_instances: K; None takes ``test_cfg.max_per_clip``.

        Returns:
            The K best (trajectory, class) pairs.
        """
        found = self.select(
            hidden_states[-1],
            self.cls_branches[-1](hidden_states[-1]),
            references[-1],
            mask_features,
            index,
            max_instances or self.test_cfg['max_per_clip'],
        )
        masks = resize_masks(found.masks, input_shape, img_shape, ori_shape)
        return ClipPrediction(
            frame_indices=frame_indices,
            scores=found.scores,
            labels=found.labels,
            masks=masks.sigmoid_(),
            centers=found.boxes[..., :2],
            mask_index=found.mask_index,
        )
