"""What safe checkpoint loading must know to read what mmengine's runner writes.

mmengine stores its message hub in every checkpoint: history buffers that hold numpy arrays. Since
torch 2.6 `torch.load` is safe by default and refuses classes it does not know; mmengine 0.10.7 does
not tell it about its own, so it cannot load its own checkpoints there (later continuations do).
Naming the few harmless classes keeps loading safe; turning safe loading off would let a checkpoint
file run any code.
"""

from __future__ import annotations

import pickle

import numpy as np
import torch

from .versions import parse_version


def _method_of_history_buffer(owner: object, name: str) -> object:
    """Stands in for `getattr`, with which history buffers save their methods.

    The real one would let a checkpoint reach any function there is.

    Args:
        owner: Must be mmengine's `HistoryBuffer`.
        name: Name of one of its statistics.

    Raises:
        UnpicklingError: For anything else.
    """
    from mmengine.logging.history_buffer import HistoryBuffer

    statistics = HistoryBuffer()._statistics_methods  # empty until the first buffer is made
    if owner is not HistoryBuffer or name not in statistics:
        raise pickle.UnpicklingError(f'GLOBAL getattr of {owner!r} {name!r} is not allowed')
    return statistics[name]


# torch knows allowed functions by these names; it is the only way that all its versions share.
_method_of_history_buffer.__module__ = 'builtins'
_method_of_history_buffer.__name__ = _method_of_history_buffer.__qualname__ = 'getattr'


def mmengine_safe_globals() -> list[object]:
    """Lists what occurs in a checkpoint of mmengine's runner besides tensors and plain types.

    Returns:
        Classes and functions that only build data, some as `(object, full name)`: the name under
        which a file written with the other major version of numpy knows it.
    """
    from mmengine.logging.history_buffer import HistoryBuffer

    core = np._core if hasattr(np, '_core') else np.core  # renamed in numpy 2
    dtypes = {type(np.dtype(kind)) for kind in ('bool', 'u1', 'i4', 'u4', 'i8', 'u8', 'f4', 'f8')}
    functions = [core.multiarray._reconstruct, core.multiarray.scalar]
    allowed = [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        *functions,
        _method_of_history_buffer,
        *sorted(dtypes, key=lambda dtype: dtype.__name__),
    ]
    if parse_version(torch.__version__) >= (2, 6):  # earlier ones take no (object, name) pairs
        allowed += [
            (function, f'numpy.{package}.multiarray.{function.__name__}')
            for package in ('core', '_core')
            for function in functions
        ]
    return allowed


def register_safe_globals() -> None:
    """Tells torch's safe loading about `mmengine_safe_globals`; harmless to repeat."""
    torch.serialization.add_safe_globals(mmengine_safe_globals())
