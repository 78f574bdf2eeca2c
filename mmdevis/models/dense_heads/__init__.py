"""Class, box and mask heads."""

from .deformable_mask_detr_head import DeformableMaskDETRHead
from .devis_head import DeVISHead

__all__ = ['DeVISHead', 'DeformableMaskDETRHead']
