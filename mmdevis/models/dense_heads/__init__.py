"""Class, box and mask heads."""

from .deformable_mask_detr_head import DeformableMaskDETRHead
from .devis_head import DeVISHead
from .offset_giou_loss import OffsetGIoULoss
from .pixel_classifier import PixelClassifier

__all__ = ['DeVISHead', 'DeformableMaskDETRHead', 'OffsetGIoULoss', 'PixelClassifier']
