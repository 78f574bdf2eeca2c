"""Back ends of :func:`mmdevis.ops.temporal_deform_attn`, one module each.

Nothing is imported here: a back end is loaded when it is first chosen (see
:mod:`mmdevis.ops.dispatch`), so that a missing compiler, mmcv operator or Triton can never break
``import mmdevis``.
"""
