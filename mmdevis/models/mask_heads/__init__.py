"""Mask heads."""

from .multi_scale_deform_mask_head import MultiScaleDeformMaskHead

__all__ = ['MultiScaleDeformMaskHead']
