"""What runs training: loop, hooks, files and processes."""

from .atomic_backend import AtomicLocalBackend
from .hooks import LossCurveHook, ProgressBarHook, StartFromImageHook, TimeBudgetHook
from .launch import prepare_launch
from .loops import ReproducibleEpochLoop
from .param_groups import MergedGroupsConstructor
from .sharding import ShardedOptimWrapper, devis_wrap_policy

__all__ = [
    'AtomicLocalBackend',
    'LossCurveHook',
    'MergedGroupsConstructor',
    'ProgressBarHook',
    'ReproducibleEpochLoop',
    'ShardedOptimWrapper',
    'StartFromImageHook',
    'TimeBudgetHook',
    'devis_wrap_policy',
    'prepare_launch',
]
