"""Which back end runs: argument, then context, then environment, then the best one available."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module

import torch

__all__ = ['BACKENDS', 'ENV_VARIABLE', 'available_backends', 'resolve_backend', 'use_backend']

ENV_VARIABLE = 'MMDEVIS_ATTN_BACKEND'

#: Every name that can be chosen. `auto` takes the first of the device's preferences that works.
BACKENDS = ('auto', 'reference', 'mmcv', 'cpu', 'gather', 'triton')

# Fastest first; the last one of each works everywhere.
_PREFERENCES = {'cpu': ('cpu', 'gather', 'reference'), 'cuda': ('triton', 'mmcv', 'reference')}

# Back ends that run on no other device type.
_DEVICES = {'cpu': ('cpu',)}

_chosen: ContextVar[str | None] = ContextVar('mmdevis_attn_backend', default=None)


def _checked(name: str, origin: str) -> str:
    if name not in BACKENDS:
        raise ValueError(
            f'{origin} names the attention back end {name!r}; it must be one of '
            f'{", ".join(BACKENDS)}.'
        )
    return name


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Choose the attention back end for everything inside a ``with`` block (and its thread).

    A back end given as argument still wins; the environment variable does not.

    Args:
        name: One of :data:`BACKENDS`.

    Raises:
        ValueError: If there is no such back end.
    """
    token = _chosen.set(_checked(name, 'use_backend()'))
    try:
        yield
    finally:
        _chosen.reset(token)


@cache
def _unavailable(name: str, device_type: str) -> str | None:
    """Why a back end cannot run on a device type, or None if it can. Found out once."""
    devices = _DEVICES.get(name)
    if devices is not None and device_type not in devices:
        return f'it runs on {" and ".join(devices)} only'
    try:
        probe: Callable[[str], str | None] | None = getattr(
            import_module(f'mmdevis.ops.backends.{name}'), 'unavailable', None
        )
    except ImportError as error:
        return str(error)
    return probe(device_type) if probe is not None else None


@cache
def _log_choice(name: str, device_type: str, why: str) -> None:
    logging.getLogger('mmdevis').info(
        'Temporal deformable attention on %s: back end %r (%s).', device_type, name, why
    )


def available_backends(device_type: str) -> dict[str, str | None]:
    """Every back end with the reason why it cannot run on a device type (None: it can).

    Args:
        device_type: As ``torch.device.type``.
    """
    return {name: _unavailable(name, device_type) for name in BACKENDS if name != 'auto'}


@torch.compiler.assume_constant_result
def resolve_backend(
    device_type: str, dtype: torch.dtype | None = None, backend: str | None = None
) -> str:
    """The back end that runs for tensors on ``device_type``; the choice is logged once.

    Args:
        device_type: As ``torch.device.type``.
        dtype: Dtype of the value. Triton has no float64: with it, `auto` falls back further.
        backend: Explicit choice; None asks the context (:func:`use_backend`), then the environment
            variable ``MMDEVIS_ATTN_BACKEND``, then takes ``'auto'``.

    Returns:
        A name of :data:`BACKENDS`, never ``'auto'``.

    Raises:
        ValueError: If there is no back end of the name.
        RuntimeError: If the back end asked for cannot run here; the message says why.
    """
    if backend is not None:
        name, why = _checked(backend, 'The argument `backend`'), 'argument'
    elif (chosen := _chosen.get()) is not None:
        name, why = chosen, 'use_backend()'
    elif chosen := os.environ.get(ENV_VARIABLE):
        name, why = _checked(chosen, f'The environment variable {ENV_VARIABLE}'), ENV_VARIABLE
    else:
        name, why = 'auto', 'default'
    if name == 'auto':
        name = _best(device_type, dtype)
    elif name == 'triton' and dtype == torch.float64:
        raise RuntimeError(
            f"The attention back end 'triton' ({why}) has no float64. Choose another one, "
            "or 'auto'."
        )
    elif (reason := _unavailable(name, device_type)) is not None:
        raise RuntimeError(
            f'The attention back end {name!r} ({why}) cannot run on {device_type}: {reason}. '
            f"Choose another one, or 'auto'."
        )
    _log_choice(name, device_type, why)
    return name


def _best(device_type: str, dtype: torch.dtype | None) -> str:
    for name in _PREFERENCES.get(device_type, ()):
        if name == 'triton' and dtype == torch.float64:
            continue
        if _unavailable(name, device_type) is None:
            return name
    return 'reference'
