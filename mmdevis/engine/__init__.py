"""What runs training: loop, hooks, files and processes."""

from .atomic_backend import AtomicLocalBackend
from .hooks import LossCurveHook, ProgressBarHook, StartFromImageHook, TimeBudgetHook
from .launch import prepare_launch
from .loops import ReproducibleEpochLoop
from .sharding import ShardedOptimWrapper, devis_wrap_policy

__all__ = [
    'AtomicLocalBackend',
    'LossCurveHook',
    'ProgressBarHook',
    'ReproducibleEpochLoop',
    'ShardedOptimWrapper',
    'StartFromImageHook',
    'TimeBudgetHook',
    'devis_wrap_policy',
    'prepare_launch',
]
