"""Checkpoints from elsewhere: the official release and image models."""

from .official import convert_official, revert_to_official
from .renaming import RenameTable

__all__ = ['RenameTable', 'convert_official', 'revert_to_official']
