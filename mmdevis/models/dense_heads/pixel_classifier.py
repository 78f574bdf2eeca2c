"""Dense auxiliary loss: the class of every pixel, from the encoded features."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdevis.utils.precision import at_least_float32

from ..task_modules.clip_targets import ClipTargets


@MODELS.register_module()
class PixelClassifier(BaseModule):
    """Classify each pixel of one encoded feature map as a class or background; training only.

    Matched queries are few, so a model that starts from scratch learns slowly from them what
    distinguishes classes. Here every pixel inside an object teaches the encoder. Not part of the
    paper; the configs that reproduce it leave it out.

    Args:
        embed_dims: C of the feature map.
        num_classes: Number of classes.
        background_weight: Weight of a background pixel; an object pixel has 1.
        loss_weight: Weight of the loss.
    """

    def __init__(
        self,
        embed_dims: int,
        num_classes: int,
        background_weight: float = 0.1,
        loss_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.num_classes = num_classes
        self.background_weight = background_weight
        self.predictor = nn.Conv2d(embed_dims, num_classes + 1, 1)
        self.loss_pixel = MODELS.build(dict(type='CrossEntropyLoss', loss_weight=loss_weight))

    def loss(self, feature: Tensor, targets: Sequence[ClipTargets]) -> Tensor:
        """Loss of a batch of clips.

        Args:
            feature: (B, T, C, h, w).
            targets: Instances of the B clips, with masks.

        Returns:
            Scalar, the weighted mean over all pixels.
        """
        logits = at_least_float32(self.predictor(feature.flatten(0, 1)))
        logits = logits.unflatten(0, feature.shape[:2])
        labels = torch.full(
            (*logits.shape[:2], *logits.shape[-2:]), self.num_classes, device=logits.device
        )
        for b, target in enumerate(targets):
            if target.masks is None or len(target) == 0:
                continue
            cover = F.adaptive_avg_pool2d(target.masks.float(), logits.shape[-2:])
            best, index = cover.max(0)
            labels[b] = torch.where(best > 0.5, target.labels[index], self.num_classes)
        labels = labels.flatten()
        weights = torch.where(labels == self.num_classes, self.background_weight, 1.0)
        return self.loss_pixel(
            logits.movedim(2, -1).flatten(0, -2),
            labels,
            weight=weights,
            avg_factor=weights.sum().item(),
        )
