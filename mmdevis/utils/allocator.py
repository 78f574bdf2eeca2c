"""How the C library treats memory that tensors have given back."""

from __future__ import annotations

import ctypes
import os

# Parameters of mallopt (glibc's malloc.h).
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_BLOCK_BYTES = 2**30
_TOTAL_BYTES = 2**31 - 1  # the largest that mallopt takes


def keep_freed_memory() -> bool:
    """Let the process keep what tensors free, up to 2 GiB, for the next tensors.

    By default glibc returns every block above 32 MiB to the system, and the next block of that
    size is zeroed page by page, which costs a fifth of the time of a clip on a CPU
    (docs/performance.md). It holds for the whole process, so programs call it, the library
    does not. The peak rises a little, because free blocks do not always fit the next tensor.

    Returns:
        Whether it was done: not without glibc, and not where the environment sets up malloc
        already (``MALLOC_...``, ``GLIBC_TUNABLES=glibc.malloc...``, ``LD_PRELOAD``).
    """
    chosen = (
        any(name.startswith('MALLOC_') for name in os.environ)
        or 'glibc.malloc' in os.environ.get('GLIBC_TUNABLES', '')
        or 'LD_PRELOAD' in os.environ
    )
    if chosen:
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  another C library may ignore what it is told
        mallopt = library.mallopt
    except (OSError, TypeError, AttributeError):
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, _BLOCK_BYTES) and mallopt(_M_TRIM_THRESHOLD, _TOTAL_BYTES)
    )
