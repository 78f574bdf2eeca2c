"""Parameter groups of the optimizer: one per setting instead of one per parameter."""

from __future__ import annotations

from typing import Any

from mmdet.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedGroupsConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor, with parameters of equal options in one group.

    With ``paramwise_cfg`` MMEngine gives every parameter a group of its own, and optimizers work
    group by group: hundreds of tiny steps instead of a few large ones. The update is the same.
    Checkpoints of the optimizer cannot be exchanged with MMEngine's constructor, because their
    groups differ.
    """

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add the groups of a module; called by MMEngine, and by itself for submodules.

        Args:
            params: Groups so far, extended in place.
            module: The model, or a part of it.
            prefix: Name of the part, '' for the model.
            is_dcn_module: Whether the part is a deformable convolution.
        """
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:
            return
        groups: dict[tuple, dict[str, Any]] = {}
        for group in params:
            options = {key: value for key, value in group.items() if key != 'params'}
            key = tuple(sorted((name, repr(value)) for name, value in options.items()))
            groups.setdefault(key, {'params': [], **options})['params'] += group['params']
        params[:] = groups.values()
