"""Targets and assignment of clips."""

from .clip_hungarian_assigner import ClipHungarianAssigner
from .clip_targets import ClipTargets, build_clip_targets

__all__ = ['ClipHungarianAssigner', 'ClipTargets', 'build_clip_targets']
