"""Class, box and mask heads."""

from .deformable_mask_detr_head import DeformableMaskDETRHead
from .devis_head import DeVISHead
from .pixel_classifier import PixelClassifier

__all__ = ['DeVISHead', 'DeformableMaskDETRHead', 'PixelClassifier']
