"""The version of mmdevis, read by `pyproject.toml` too (so this file imports nothing)."""

__version__ = '0.1.0'
