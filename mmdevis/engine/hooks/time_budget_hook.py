"""Train for a given time instead of a given number of iterations."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from tqdm import tqdm


@HOOKS.register_module()
class TimeBudgetHook(Hook):
    """Ends training after a number of minutes and lets the learning rate follow the clock.

    The rate rises linearly over the first iterations, stays, and falls to zero along a cosine, so
    that a slow machine finishes its schedule too. Use it with ``IterBasedTrainLoop`` and without a
    ``param_scheduler``. Results depend on the speed of the machine.

    Args:
        minutes: Time for training.
        warmup_iters: Iterations until the full learning rate.
        flat: Share of the time, 0..1, before the rate starts to fall.

    Raises:
        ValueError: If ``minutes`` is not positive or ``flat`` outside 0..1.
    """

    priority = 'VERY_HIGH'

    def __init__(self, minutes: float, warmup_iters: int = 100, flat: float = 0.0) -> None:
        if minutes <= 0 or not 0 <= flat <= 1:
            raise ValueError(f'expected minutes > 0 and flat in 0..1, got {minutes} and {flat}')
        self.seconds = 60.0 * minutes
        self.warmup_iters = warmup_iters
        self.flat = flat

    def factor(self, elapsed: float, iteration: int) -> float:
        """Factor of the learning rate, 0..1.

        Args:
            elapsed: Seconds since training began.
            iteration: Iterations done.
        """
        done = min(elapsed / self.seconds, 1.0)
        fall = max(done - self.flat, 0.0) / max(1.0 - self.flat, 1e-9)
        warmup = min((iteration + 1) / max(self.warmup_iters, 1), 1.0)
        return warmup * 0.5 * (1.0 + math.cos(math.pi * fall))

    def before_train(self, runner: Any) -> None:
        """Start the clock."""
        self._start = time.monotonic()
        self._rates = [group['lr'] for group in runner.optim_wrapper.param_groups]
        self._bar = None
        if is_main_process():
            terminal = sys.stdout.isatty()
            self._bar = tqdm(
                total=round(self.seconds),
                desc='training',
                file=sys.stdout,
                mininterval=0.5 if terminal else 30.0,
                ncols=100,
                bar_format='{desc} {percentage:3.0f}% [{elapsed}<{remaining}] {postfix}'
                + ('' if terminal else '\n'),
            )

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Set the learning rate of this moment, the same on all ranks."""
        elapsed = [time.monotonic() - self._start]
        broadcast_object_list(elapsed)
        self._elapsed = elapsed[0]
        factor = self.factor(self._elapsed, runner.iter)
        for group, rate in zip(runner.optim_wrapper.param_groups, self._rates):
            group['lr'] = rate * factor

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Stop when the time is over."""
        if self._bar is not None:
            loss = float(torch.as_tensor(outputs['loss']).detach()) if outputs else math.nan
            self._bar.set_postfix_str(f'iteration {runner.iter + 1}, loss {loss:.2f}', False)
            self._bar.update(min(round(self._elapsed), self._bar.total) - self._bar.n)
        if self._elapsed >= self.seconds:
            runner.train_loop.stop_training = True

    def after_train(self, runner: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
