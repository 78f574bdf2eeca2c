"""Metrics."""

from .functional import VISFormatError, evaluate_ytvis, write_submission
from .metrics import VISMetric

__all__ = ['VISFormatError', 'VISMetric', 'evaluate_ytvis', 'write_submission']
