"""What runs training: loop, hooks, files and processes."""

from .atomic_backend import AtomicLocalBackend
from .hooks import LossCurveHook, ProgressBarHook, StartFromImageHook, TimeBudgetHook
from .launch import prepare_launch
from .loops import ReproducibleEpochLoop

__all__ = [
    'AtomicLocalBackend',
    'LossCurveHook',
    'ProgressBarHook',
    'ReproducibleEpochLoop',
    'StartFromImageHook',
    'TimeBudgetHook',
    'prepare_launch',
]
