"""Lets older code of the frameworks run with current numpy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def removed_aliases() -> Iterator[None]:
    """Brings back `np.float`, which numpy 1.24 removed, while the block runs.

    MMDetection 3.3.0 (of the original OpenMMLab packages) still uses it in its YouTube-VIS
    evaluation, and no numpy that has it installs beside a current torch or OpenCV.
    """
    if 'float' in np.__dict__:
        yield
        return
    np.float = float
    try:
        yield
    finally:
        del np.float
