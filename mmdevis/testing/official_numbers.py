"""Weights and inputs that follow rules, so that no checkpoint has to travel with the numbers."""

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

# Keys below the first name are aliases of the same key without it.
_ALIAS = 'transformer.decoder.bbox_embed.'


def standard_normal(seed: int, shape: Sequence[int]) -> Tensor:
    """Draw float32 numbers that are the same with every numpy and torch.

    Args:
        seed: 0 .. 2**32 - 1.
        shape: Shape of the result.
    """
    values = np.random.RandomState(seed).standard_normal(tuple(shape)).astype(np.float32)
    return torch.from_numpy(np.asarray(values))


def official_weight(key: str, shape: Sequence[int]) -> Tensor:
    """Value of one tensor of the official checkpoint layout.

    Args:
        key: Official key; the draw is seeded by it.
        shape: Its shape.

    Returns:
        Float32 tensor. Scales keep activations of a deep model in a sensible range.
    """
    key = key.replace(_ALIAS, 'bbox_embed.')
    noise = standard_normal(zlib.crc32(key.encode()) & 0xFFFFFFFF, shape)
    if key.endswith('running_var'):
        return 1 + 0.1 * noise.abs()
    if key.endswith('sampling_offsets.bias'):
        return 2 * noise
    if key.endswith(('level_embed', 'query_embed.weight', 'temporal_embed')):
        return noise
    if len(shape) >= 2:
        return noise / math.sqrt(math.prod(shape[1:]))
    return 1 + 0.1 * noise if key.endswith('weight') else 0.1 * noise


def official_weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """State dict of the official layout, given the shapes of its tensors."""
    return {key: official_weight(key, shape) for key, shape in shapes.items()}


class Mismatches:
    """Compares many quantities and reports all that differ, not only the first.

    Attributes:
        lines: One line for each quantity that is out of tolerance.
        worst: Largest absolute difference of each quantity.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.worst: dict[str, float] = {}

    def compare(
        self, name: str, ours: Tensor | np.ndarray, official: np.ndarray, atol: float
    ) -> None:
        """Compare element by element.

        Args:
            name: What is compared.
            ours: Our values.
            official: The release's values, of the same shape.
            atol: Largest absolute difference allowed; 0 means identical.
        """
        if isinstance(ours, Tensor):
            ours = ours.detach().cpu().numpy()
        ours, official = np.asarray(ours, np.float64), np.asarray(official, np.float64)
        if ours.shape != official.shape:
            self.lines.append(f'{name}: shape {ours.shape}, the release has {official.shape}')
            return
        difference = float(np.abs(ours - official).max()) if ours.size else 0.0
        self.worst[name] = difference
        if not difference <= atol:
            self.lines.append(f'{name}: differs by {difference:.3g}, allowed are {atol:g}')

    def compare_relative(self, name: str, ours: float, official: float, rtol: float) -> None:
        """Compare two numbers relative to the official one.

        Args:
            name: What is compared.
            ours: Our value.
            official: The release's value; 0 must be met exactly.
            rtol: Largest relative difference allowed.
        """
        difference = abs(ours - official)
        self.worst[name] = difference / abs(official) if official else difference
        if not difference <= rtol * abs(official):
            self.lines.append(f'{name}: {ours!r}, the release has {official!r} (rtol {rtol:g})')

    def __str__(self) -> str:
        return '\n'.join(self.lines)
