"""How weights lie in memory."""

from __future__ import annotations

import torch
from torch import nn


def lay_out_for_inference(model: nn.Module) -> None:
    """Puts the backbones of a model on a CPU into the order that its convolutions are fastest in.

    In PyTorch's channels-last order oneDNN reads weights and maps of a convolutional backbone
    without turning them first: a tenth of its time (docs/performance.md). Shapes and values stay.
    Optimizers keep state in the order of their parameters, so this is for programs that only
    infer. On other devices nothing happens.

    Args:
        model: Any detector; its submodules called ``backbone`` are changed in place.
    """
    for name, module in model.named_modules():
        parameter = next(module.parameters(), None)
        if name.split('.')[-1] == 'backbone' and parameter is not None:
            if parameter.device.type == 'cpu':
                module.to(memory_format=torch.channels_last)
