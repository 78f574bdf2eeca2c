"""Checkpoints from elsewhere: the official release and image models."""

from .official import convert_official, official_names, revert_to_official
from .renaming import RenameTable

__all__ = ['RenameTable', 'convert_official', 'official_names', 'revert_to_official']
