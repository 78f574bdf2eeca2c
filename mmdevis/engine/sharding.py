"""Training with parameters, gradients and optimiser states spread over processes (FSDP).

Used with MMEngine's `FlexibleRunner`, see `docs/large_models.md`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from mmdet.models.backbones.swin import SwinBlockSequence
from mmdet.models.layers import ResLayer
from mmengine.optim import OptimWrapper
from mmengine.registry import FUNCTIONS, OPTIM_WRAPPERS
from torch import nn

from mmdevis.models.layers.devis_layers import DeVISDecoderLayer, DeVISEncoderLayer

#: Parts that are gathered, used and let go one after another. What is in none of them (heads, neck,
#: embeddings) is small and stays gathered for the whole step.
SHARDED_PARTS = (DeVISEncoderLayer, DeVISDecoderLayer, ResLayer, SwinBlockSequence)


@FUNCTIONS.register_module()
def devis_wrap_policy(module: nn.Module, recurse: bool, **kwargs: Any) -> bool:
    """Says to FSDP which modules are units of their own: `SHARDED_PARTS`.

    Args:
        module: A part of the model.
        recurse: Whether the question is if its children should be looked at.
        **kwargs: What else FSDP tells.
    """
    return recurse or isinstance(module, SHARDED_PARTS)


@OPTIM_WRAPPERS.register_module()
class ShardedOptimWrapper(OptimWrapper):
    """MMEngine's wrapper, with gradients clipped by the norm over all processes.

    Each process holds a part of every gradient. MMEngine's wrapper would clip each part by its own
    norm, and so weaker, and each part differently.

    Args:
        *args: As of `mmengine.optim.OptimWrapper`.
        **kwargs: Likewise; `clip_grad` may only have `max_norm` and `norm_type=2`.

    Raises:
        ValueError: For another kind of clipping.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options = dict(self.clip_grad_kwargs or {})
        if options and (options.pop('norm_type', 2) != 2 or set(options) != {'max_norm'}):
            raise ValueError(
                f'clip_grad={self.clip_grad_kwargs}: sharded gradients can be clipped by their '
                'Euclidean norm only, dict(max_norm=..., norm_type=2)'
            )

    def _clip_grad(self) -> None:
        gradients = [
            parameter.grad
            for group in self.optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        # A process may hold no part of any of them and still has to join in.
        device = next(p.device for group in self.optimizer.param_groups for p in group['params'])
        squared = torch.zeros((), device=device)
        for gradient in gradients:
            squared += gradient.detach().float().square().sum()
        if dist.is_initialized():
            dist.all_reduce(squared)
        norm = squared.sqrt()
        factor = (self.clip_grad_kwargs['max_norm'] / (norm + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factor)
        self.message_hub.update_scalar('train/grad_norm', float(norm))
