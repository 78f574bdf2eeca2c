"""Helpers for tests: reduced configs, and the rules behind the official release's numbers."""

from .official_numbers import Mismatches, official_weights, standard_normal
from .random_data import random_clips
from .reduced_models import build_reduced, reduce_model

__all__ = [
    'Mismatches',
    'build_reduced',
    'official_weights',
    'random_clips',
    'reduce_model',
    'standard_normal',
]
