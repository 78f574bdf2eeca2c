"""Hooks for the runner."""

from .loss_curve_hook import LossCurveHook, draw_loss_curve, read_scalars
from .main_process_logger_hook import MainProcessLoggerHook
from .progress_hook import ProgressBarHook
from .start_from_image_hook import StartFromImageHook
from .time_budget_hook import TimeBudgetHook
from .vis_visualization_hook import VISVisualizationHook

__all__ = [
    'LossCurveHook',
    'MainProcessLoggerHook',
    'ProgressBarHook',
    'StartFromImageHook',
    'TimeBudgetHook',
    'VISVisualizationHook',
    'draw_loss_curve',
    'read_scalars',
]
