"""A training process that dies, as by `kill -9`, a full memory or a cluster's time limit."""

import os
import signal

from mmdet.registry import HOOKS
from mmengine.hooks import Hook


@HOOKS.register_module()
class KillHook(Hook):
    """Ends the process at once before an iteration.

    Args:
        at: The iteration, from 0.
    """

    def __init__(self, at: int) -> None:
        self.at = at

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Kill."""
        if runner.iter == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
