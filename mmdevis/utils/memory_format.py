"""How weights lie in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def lay_out_for_inference(model: nn.Module) -> None:
    """Puts the backbones of a model on a CPU into the order that its convolutions are fastest in.

    In PyTorch's channels-last order oneDNN reads weights and maps of a convolutional backbone
    without turning them first: a tenth of its time (docs/performance.md). Shapes and values stay,
    and maps leave the backbone in the usual order, unless ``reads_channels_last`` of the module
    that holds it says that it reads either. Optimizers keep state in the order of their
    parameters, so this is for programs that only infer. On other devices nothing happens.

    Args:
        model: Any detector; its submodules called ``backbone`` are changed in place.
    """
    for owner in model.modules():
        backbone = dict(owner.named_children()).get('backbone')
        parameter = None if backbone is None else next(backbone.parameters(), None)
        if parameter is None or parameter.device.type != 'cpu':
            continue
        backbone.to(memory_format=torch.channels_last)
        reads_either = getattr(owner, 'reads_channels_last', False)
        if not reads_either and _usual_order not in backbone._forward_hooks.values():
            backbone.register_forward_hook(_usual_order)


def _usual_order(module: nn.Module, inputs: Any, maps: Any) -> Any:
    """Turns a backbone's maps back: mmcv's RoIAlign takes every map for one in the usual order."""
    if isinstance(maps, Tensor):
        return maps.contiguous()
    return type(maps)(_usual_order(module, inputs, x) for x in maps)
