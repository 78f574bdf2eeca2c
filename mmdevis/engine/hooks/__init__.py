"""Hooks for the runner."""

from .loss_curve_hook import LossCurveHook, draw_loss_curve, read_scalars
from .progress_hook import ProgressBarHook

__all__ = ['LossCurveHook', 'ProgressBarHook', 'draw_loss_curve', 'read_scalars']
