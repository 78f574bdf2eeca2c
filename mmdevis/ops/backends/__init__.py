"""Back ends of :func:`mmdevis.ops.temporal_deform_attn`, one module each.

What one of them needs (a compiler, an operator of mmcv, Triton) is looked for when it is first
chosen (see :mod:`mmdevis.ops.dispatch`), so that its absence can never break ``import mmdevis``.
"""
