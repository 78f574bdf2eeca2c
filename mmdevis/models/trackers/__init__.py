"""Trackers: from clip predictions to tracks."""

from .clip_costs import ClipCost
from .multi_cue_clip_tracker import MultiCueClipTracker

__all__ = ['ClipCost', 'MultiCueClipTracker']
