"""Image models."""

from .deformable_mask_detr import DeformableMaskDETR

__all__ = ['DeformableMaskDETR']
