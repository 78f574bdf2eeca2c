"""Metrics for MMEngine's evaluator, registered in MMDetection's METRICS."""

from .vis_metric import VISMetric

__all__ = ['VISMetric']
