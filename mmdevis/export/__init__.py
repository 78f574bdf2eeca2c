"""Export of the per-clip model: ``torch.export`` and ONNX, and running what was exported.

The tracker stays outside: it is a state machine over clips, see docs/export.md.
"""

from .clip_module import OUTPUT_NAMES, ClipModule
from .comparing import Difference, compare_outputs, describe_differences
from .description import ClipDescription
from .exported_clip import ExportedClip, clip_prediction
from .writing import (
    DEFAULT_OPSET,
    LEAST_OPSET,
    ExportError,
    export_program,
    save_onnx,
    save_program,
)

__all__ = [
    'DEFAULT_OPSET',
    'LEAST_OPSET',
    'OUTPUT_NAMES',
    'ClipDescription',
    'ClipModule',
    'Difference',
    'ExportError',
    'ExportedClip',
    'clip_prediction',
    'compare_outputs',
    'describe_differences',
    'export_program',
    'save_onnx',
    'save_program',
]
