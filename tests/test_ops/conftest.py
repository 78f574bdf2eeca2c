"""Random arguments of the op, and the parity numbers of the release."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmdevis.ops import temporal_deform_attn


@dataclass(frozen=True)
class Problem:
    """Arguments of one call; tensors in the order of the op."""

    tensors: tuple[Tensor | None, ...]
    spatial_shapes: tuple[tuple[int, int], ...]
    instance_aware: bool = False
    grad: Tensor = field(default_factory=lambda: torch.empty(0))

    def to(self, *args: Any) -> 'Problem':
        tensors = tuple(None if t is None else t.to(*args) for t in self.tensors)
        return replace(self, tensors=tensors, grad=self.grad.to(*args))

    def call(self, backend: str | None, *tensors: Tensor | None) -> Tensor:
        value, *rest = tensors or self.tensors
        return temporal_deform_attn(
            value,
            self.spatial_shapes,
            *rest,
            instance_aware=self.instance_aware,
            backend=backend,
        )

    def call_with_grads(self, backend: str | None) -> list[Tensor]:
        """Output, then the gradient of every tensor for the fixed gradient of the output."""
        leaves = [None if t is None else t.detach().clone().requires_grad_() for t in self.tensors]
        output = self.call(backend, *leaves)
        wanted = [leaf for leaf in leaves if leaf is not None]
        if not output.requires_grad:  # nothing to sample at all
            return [output, *(torch.zeros_like(leaf) for leaf in wanted)]
        grads = torch.autograd.grad(
            output, wanted, self.grad.to(output), allow_unused=True, materialize_grads=True
        )
        return [output.detach(), *grads]


@pytest.fixture
def make_problem() -> Callable[..., Problem]:
    """A factory of problems; every size has a small default."""

    def make(
        seed: int = 0,
        *,
        batch: int = 2,
        frames: int = 3,
        shapes: tuple[tuple[int, int], ...] = ((5, 7), (3, 4), (1, 1)),
        queries: int = 6,
        heads: int = 2,
        channels: int = 8,
        points: int = 2,
        temporal_points: int | None = 3,
        boxes: bool = False,
        instance_aware: bool = False,
        spread: float = 2.0,
        dtype: torch.dtype = torch.float64,
    ) -> Problem:
        generator = torch.Generator().manual_seed(seed)

        def normal(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator, dtype=torch.float64)

        levels = len(shapes)
        tokens = sum(h * w for h, w in shapes)
        lead = (batch, frames, queries, heads)
        # From well outside to well inside.
        reference = torch.rand(
            batch, frames, queries, levels, 2, generator=generator, dtype=torch.float64
        )
        reference = reference * 1.6 - 0.3
        if boxes:
            reference = torch.cat([reference, normal(*reference.shape).abs()], -1)
        temporal: tuple[Tensor | None, Tensor | None] = (None, None)
        if temporal_points is not None:
            size = (*lead, frames - 1, levels, temporal_points)
            temporal = (normal(*size, 2) * spread, normal(*size))
        problem = Problem(
            (
                normal(batch, frames, tokens, heads, channels),
                reference,
                normal(*lead, levels, points, 2) * spread,
                normal(*lead, levels, points),
                *temporal,
            ),
            shapes,
            instance_aware,
            normal(batch, frames, queries, heads * channels),
        )
        return problem.to(dtype)

    return make


@pytest.fixture(scope='session')
def parity() -> dict[str, Tensor]:
    """TMSDA of the official release: weights, inputs, outputs and gradients."""
    path = Path(__file__).parents[1] / 'data' / 'parity' / 'tmsda_modules.npz'
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
