"""When work on a CPU is done in pieces that stay in its cache."""

import torch
from torch import Tensor, nn

__all__ = ['is_watched', 'prefers_pieces']


def is_watched(module: nn.Module) -> bool:
    """Whether a module has forward hooks, which expect to see it called once and as a whole."""
    return bool(module._forward_pre_hooks or module._forward_hooks)


def prefers_pieces(x: Tensor) -> bool:
    """Whether to work through a large tensor in pieces.

    Without gradients nothing has to be kept, so pieces can use the same memory one after the other.
    Large blocks are fresh pages from the system each time, which cost a CPU more than they hold.
    A GPU wants large blocks, and compiled or exported graphs should have no loop over pieces.

    Args:
        x: What is worked on.
    """
    return (
        x.device.type == 'cpu'
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )
