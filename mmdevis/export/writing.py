"""From a model to a file: a program of ``torch.export``, or ONNX made of one."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

import torch
from torch.export import ExportedProgram

from mmdevis.models.vis.devis import DeVIS
from mmdevis.ops import resolve_backend

from .clip_module import OUTPUT_NAMES, ClipModule, attention_backend
from .description import KEY, ClipDescription
from .packages import quiet_loggers, require

if TYPE_CHECKING:
    import onnx_ir

__all__ = [
    'DEFAULT_OPSET',
    'LEAST_OPSET',
    'ExportError',
    'export_program',
    'save_onnx',
    'save_program',
]

#: GridSample exists since opset 16, but torch's exporter writes none below 18.
LEAST_OPSET = 18
DEFAULT_OPSET = 20

#: Name of the description in a program's archive.
EXTRA_FILE = f'{KEY}.json'


class ExportError(RuntimeError):
    """A model has a part that the exporter cannot write down."""


def export_program(
    model: DeVIS, size: tuple[int, int], backend: str = 'reference'
) -> ExportedProgram:
    """Trace the clip model.

    Args:
        model: The model; in evaluation mode afterwards.
        size: (H, W) of the frames, which becomes part of the graph.
        backend: Of the temporal deformable attention. With 'reference' the graph has PyTorch's own
            operators only; with one that runs behind the custom op (on a CPU 'cpu', and what 'auto'
            takes there), ``import mmdevis.ops`` has to come before the program is loaded.

    Returns:
        The program of a :class:`ClipModule`.

    Raises:
        RuntimeError: If the back end cannot run on the model's device.
        ExportError: If a part of the model cannot be traced, such as a compiled operator.
    """
    module = ClipModule(model).eval()
    device = next(model.parameters()).device
    frames = torch.zeros(1, model.num_frames, 3, *size, device=device)
    with torch.no_grad(), attention_backend(model, backend):
        # What is wrong with the arguments is said before tracing wraps it.
        resolve_backend(device.type, frames.dtype, backend)
        try:
            # Not strict: what is done to tensors is recorded while Python runs as ever.
            return torch.export.export(module, (frames,), strict=False)
        except Exception as error:  # which one depends on the part
            raise ExportError(f'torch.export cannot trace this model: {_reason(error)}') from error


def save_program(
    program: ExportedProgram, path: str | PathLike, description: ClipDescription
) -> None:
    """Write a program for ``torch.export.load``.

    Args:
        program: From :func:`export_program`.
        path: The file, best with the ending .pt2.
        description: Goes into the file.
    """
    torch.export.save(program, path, extra_files={EXTRA_FILE: description.to_json()})


def save_onnx(
    program: ExportedProgram,
    path: str | PathLike,
    description: ClipDescription,
    opset: int = DEFAULT_OPSET,
) -> None:
    """Write a program as ONNX, weights included.

    Args:
        program: From :func:`export_program` with the reference back end: ONNX knows no other.
        path: The file.
        description: Goes into the file's metadata.
        opset: Version of ONNX's operators, at least 18.

    Raises:
        ImportError: If ``onnx`` or ``onnxscript`` is missing; names the extra to install.
        ValueError: If the opset is too old.
        ExportError: If ONNX has no way to say what a part of the model does.
    """
    if opset < LEAST_OPSET:
        raise ValueError(f'the ONNX opset must be at least {LEAST_OPSET}, got {opset}')
    require('onnx', 'onnxscript')
    with quiet_loggers('torch.onnx', 'onnxscript', 'onnx_ir'):
        try:
            converted = torch.onnx.export(
                program,
                (),
                dynamo=True,
                opset_version=opset,
                input_names=['frames'],
                output_names=list(OUTPUT_NAMES),
                external_data=False,
                verbose=False,
                optimize=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ExportError(f'this model cannot be put as ONNX: {_reason(error)}') from error
        _simplify(converted.model)
    for node in converted.model.graph.all_nodes():
        # Stack traces of this machine, for every node.
        node.metadata_props.clear()
    converted.model.metadata_props[KEY] = description.to_json()
    converted.save(path, external_data=False)


def _simplify(model: onnx_ir.Model) -> None:
    """Compute what is constant, and once what occurs twice.

    The exporter's own optimisation also looks for patterns to replace, in a time that grows with
    the square of the number of nodes, minutes for a model of full size, for 7 % fewer of them.
    """
    from onnx_ir.passes import common
    from onnxscript import optimizer

    optimizer.inline(model)
    optimizer.fold_constants(model)
    optimizer.remove_unused_nodes(model)
    for simplify in (
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedOpsetsPass(),
    ):
        simplify(model)


def _reason(error: BaseException) -> str:
    """The innermost cause, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f'{type(error).__name__}: {lines[0]}'
