"""How far an exported model is from the one it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

__all__ = ['Difference', 'compare_outputs', 'describe_differences']


@dataclass(frozen=True)
class Difference:
    """Of one output.

    Attributes:
        name: The output.
        absolute: Largest absolute difference; NaN if a value is.
        scale: Largest magnitude of what was expected.
    """

    name: str
    absolute: float
    scale: float

    def within(self, tolerance: float) -> bool:
        """Whether the difference is at most ``tolerance`` times the scale, or 1 if that is more."""
        return self.absolute <= tolerance * max(1.0, self.scale)


def compare_outputs(
    outputs: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> list[Difference]:
    """Compare the outputs of one clip.

    Args:
        outputs: By name.
        expected: The same names.

    Returns:
        One entry for each.

    Raises:
        ValueError: If names or shapes differ.
    """
    differences = []
    shapes, wanted = (
        {name: tuple(value.shape) for name, value in values.items()}
        for values in (outputs, expected)
    )
    if shapes != wanted:
        raise ValueError(f'the exported model gives {shapes}, the model {wanted}')
    for name, value in expected.items():
        value = value.cpu()
        differences.append(
            Difference(
                name, float((outputs[name].cpu() - value).abs().max()), float(value.abs().max())
            )
        )
    return differences


def describe_differences(differences: Sequence[Difference]) -> str:
    """One line for each output."""
    return '\n'.join(
        f'{d.name}: largest difference {d.absolute:.1e}, largest value {d.scale:.3g}'
        for d in differences
    )
