"""Video instance segmentation models."""

from .devis import DeVIS

__all__ = ['DeVIS']
