"""Reading checkpoints: safely, and only into the model they belong to."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .safe_globals import register_safe_globals


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read, or is not one of this model."""


def read_checkpoint(path: str | Path, map_location: str | torch.device = 'cpu') -> dict[str, Any]:
    """Reads a checkpoint without running any code that it may contain.

    Args:
        path: File.
        map_location: Device for its tensors.

    Returns:
        What was saved: a dict with `state_dict` and more, or bare weights.

    Raises:
        CheckpointError: When there is no such file, or it is incomplete, is no checkpoint, or holds
            more than data.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f'There is no checkpoint file {path}')
    register_safe_globals()
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        if not zipfile.is_zipfile(path) and path.stat().st_size < 1024:
            raise CheckpointError(
                f'{path} is no checkpoint ({path.stat().st_size} bytes)'
            ) from error
        reason = _unsafe_name(str(error))
        raise CheckpointError(
            f'{path} was not loaded: {reason}. mmdevis loads data only, because a checkpoint that '
            'holds other objects can run any code. If you trust where it comes from, load it once '
            "with torch.load(..., weights_only=False) and save only its 'state_dict'."
        ) from error
    except Exception as error:  # a file of something else can raise anything
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f'{path} ({path.stat().st_size} bytes) is incomplete or no checkpoint: {first}. Copy '
            'or download it again, or take an earlier one.'
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{path} holds a {type(content).__name__}, no checkpoint')
    return content


def _unsafe_name(message: str) -> str:
    named = re.search(r'GLOBAL ([\w.]+)', message)
    return f'it holds a {named.group(1)}' if named else 'it holds more than data, or is damaged'


def weights_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Takes the weights out of a checkpoint.

    Args:
        checkpoint: As from `read_checkpoint`.

    Returns:
        Tensors by name, without the `module.` that a distributed wrapper puts before names.
    """
    weights = checkpoint.get('state_dict', checkpoint)
    return {
        name.removeprefix('module.'): value
        for name, value in weights.items()
        if isinstance(value, Tensor)
    }


@dataclass(frozen=True)
class Differences:
    """What weights and a model do not share.

    Attributes:
        missing: Names that the model has and the weights lack.
        unexpected: Names that the weights have and the model lacks.
        shapes: Name, shape in the weights, shape in the model.
        matching: Number of tensors that fit.
    """

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    shapes: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    matching: int = 0

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.shapes)

    def describe(self, limit: int = 20) -> str:
        """Writes the differences down.

        Args:
            limit: Names to show of each kind.

        Returns:
            One line per name, with the count of those not shown.
        """
        lines = []
        for title, names in (
            ('in the config but not in the checkpoint', self.missing),
            ('in the checkpoint but not in the config', self.unexpected),
            (
                'of another shape',
                [
                    f'{name}: checkpoint {theirs}, config {ours}'
                    for name, theirs, ours in self.shapes
                ],
            ),
        ):
            if names:
                lines.append(f'  {len(names)} {title}:')
                lines += [f'    {name}' for name in names[:limit]]
                if len(names) > limit:
                    lines.append(f'    ... and {len(names) - limit} more')
        return '\n'.join(lines)


def compare(model: nn.Module, weights: Mapping[str, Tensor]) -> Differences:
    """Compares weights with what a model needs.

    Args:
        model: The model, or a distributed wrapper of it.
        weights: Tensors by name.

    Returns:
        What differs.
    """
    model = getattr(model, 'module', model)
    ours = model.state_dict()
    common = [name for name in ours if name in weights]
    shapes = [
        (name, tuple(weights[name].shape), tuple(ours[name].shape))
        for name in common
        if weights[name].shape != ours[name].shape
    ]
    return Differences(
        missing=[name for name in ours if name not in weights],
        unexpected=[name for name in weights if name not in ours],
        shapes=shapes,
        matching=len(common) - len(shapes),
    )


def check_belongs(
    model: nn.Module, path: str | Path, strict: bool = True, least: float = 0.5
) -> dict[str, Any]:
    """Makes sure that a checkpoint is one of a model, without changing the model.

    Args:
        model: The model.
        path: Checkpoint file.
        strict: Demand that every name and shape fits. Otherwise, for fine-tuning, only a share.
        least: That share, of the model's tensors.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: See `read_checkpoint`; or when it belongs to another config, naming the
            keys that differ.
    """
    checkpoint = read_checkpoint(path)
    differences = compare(model, weights_of(checkpoint))
    total = differences.matching + len(differences.missing) + len(differences.shapes)
    if differences and (strict or differences.matching < least * total):
        raise CheckpointError(
            f'{path} is a checkpoint of another config: {differences.matching} of the {total} '
            f'tensors of this one fit.\n{differences.describe()}\n'
            'Use the config that it was trained with (its work folder holds a copy), or change '
            'what differs with --cfg-options.'
        )
    return checkpoint


def load_checkpoint_strictly(model: nn.Module, path: str | Path) -> dict[str, Any]:
    """Loads a checkpoint into the model it belongs to.

    Args:
        model: The model; unchanged when anything fails.
        path: Checkpoint file.

    Returns:
        The checkpoint, for its `meta`.

    Raises:
        CheckpointError: See `check_belongs`.
    """
    checkpoint = check_belongs(model, path)
    getattr(model, 'module', model).load_state_dict(weights_of(checkpoint))
    return checkpoint
