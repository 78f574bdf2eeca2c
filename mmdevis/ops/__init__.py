"""Temporal deformable attention: one op, several back ends, one switch.

See :func:`temporal_deform_attn` for what it computes and :mod:`mmdevis.ops.dispatch` for how a back
end is chosen.
"""

from .dispatch import BACKENDS, ENV_VARIABLE, available_backends, resolve_backend, use_backend
from .functional import temporal_deform_attn

__all__ = [
    'BACKENDS',
    'ENV_VARIABLE',
    'available_backends',
    'resolve_backend',
    'temporal_deform_attn',
    'use_backend',
]
