"""Lets safe checkpoint loading (`torch.load(..., weights_only=True)`) read what mmengine's runner writes.

mmengine stores its message hub in every checkpoint: history buffers that hold numpy arrays. Since torch 2.6 `torch.load`
is safe by default and refuses classes it does not know; mmengine 0.10.7 does not tell it about its own, so it cannot
load its own checkpoints there (later continuations do). Naming the few harmless classes keeps loading safe; turning
safe loading off would let a checkpoint file run any code.
"""

from __future__ import annotations

import numpy as np


def mmengine_safe_globals() -> list[object]:
    """Lists the classes that occur in a checkpoint of mmengine's runner besides tensors and plain Python types.

    Returns:
        Classes and functions that only build data. `getattr`, which is not harmless, is not needed.
    """
    from mmengine.logging.history_buffer import HistoryBuffer

    core = np._core if hasattr(np, '_core') else np.core  # renamed in numpy 2
    dtypes = {type(np.dtype(kind)) for kind in ('bool', 'u1', 'i4', 'u4', 'i8', 'u8', 'f4', 'f8')}
    # Both names of a function: a file written under numpy 1 names numpy.core, one written under numpy 2 numpy._core.
    return [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        core.multiarray._reconstruct,
        core.multiarray.scalar,
        *sorted(dtypes, key=lambda dtype: dtype.__name__),
    ]


def register_safe_globals() -> None:
    """Tells torch's safe loading about `mmengine_safe_globals`, for this process. Harmless to repeat."""
    import torch

    torch.serialization.add_safe_globals(mmengine_safe_globals())
