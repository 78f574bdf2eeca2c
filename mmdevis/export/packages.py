"""Other packages: whether they are there, and what they report."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ['quiet_loggers', 'require']


def require(*names: str) -> None:
    """Make sure that packages of the extra `export` are there.

    Raises:
        ImportError: Says what to install.
    """
    for name in names:
        try:
            __import__(name)
        except ImportError as error:
            raise ImportError(
                f"{name} is needed for ONNX and not installed: pip install 'mmdevis[export]' "
                '(in a checkout: pip install -e ".[export]")'
            ) from error


@contextmanager
def quiet_loggers(*names: str) -> Iterator[None]:
    """Keep loggers from warning, for example that torchvision's operators are not known."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
