"""How weights lie in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def lay_out_for_inference(model: nn.Module) -> None:
    """Puts the backbones of a model on a CPU into the order that its convolutions are fastest in.

    In PyTorch's channels-last order oneDNN reads weights and maps of a convolutional backbone
    without turning them first: a tenth of its time (docs/performance.md). Shapes and values stay,
    and maps leave the backbone in the usual order, unless the model's ``reads_channels_last`` says
    that it reads either. Optimizers keep state in the order of their parameters, so this is for
    programs that only infer. On other devices nothing happens.

    Args:
        model: Any detector; its submodules called ``backbone`` are changed in place.
    """
    reads_either = getattr(model, 'reads_channels_last', False)
    for name, module in model.named_modules():
        parameter = next(module.parameters(), None)
        if name.split('.')[-1] != 'backbone' or parameter is None or parameter.device.type != 'cpu':
            continue
        module.to(memory_format=torch.channels_last)
        if not reads_either and _usual_order not in module._forward_hooks.values():
            module.register_forward_hook(_usual_order)


def _usual_order(module: nn.Module, inputs: Any, maps: Any) -> Any:
    """Turns a backbone's maps back: mmcv's RoIAlign takes every map for one in the usual order."""
    if isinstance(maps, Tensor):
        return maps.contiguous()
    return type(maps)(_usual_order(module, inputs, x) for x in maps)
