"""Progress bar of training, validation and testing with the time left."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Shows how far a stage is and how long it will still take.

    On a terminal the bar stays below the log lines. Elsewhere (a log file, CI) a line is printed
    every `interval` seconds. tqdm does it because MMDetection brings it and it can pass log lines
    around a bar; only the main process shows one.

    Args:
        interval: Seconds between two updates where the output is no terminal.
    """

    priority = 'LOWEST'

    def __init__(self, interval: float = 30.0) -> None:
        self.interval = interval
        self._bar: tqdm | None = None
        self._next_loss = 0.0
        self._stack = ExitStack()

    def _open(self, title: str, total: int, done: int = 0) -> None:
        self._close()
        if not is_main_process():
            return
        terminal = sys.stdout.isatty()
        if terminal:
            logger = MMLogger.get_current_instance()
            self._stack.enter_context(logging_redirect_tqdm([logger], tqdm_class=tqdm))
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=title,
            file=sys.stdout,
            dynamic_ncols=terminal,
            ncols=None if terminal else 90,
            mininterval=0.5 if terminal else self.interval,
            leave=True,
            # A log file keeps one line per update; on a terminal each replaces the last.
            bar_format=None
            if terminal
            else '{l_bar}{n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]\n',
        )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._stack.close()

    def _step(self) -> None:
        if self._bar is not None:
            self._bar.update()

    def before_train(self, runner: Any) -> None:
        """Opens the bar over all iterations, at the one to start with."""
        self._open('training', runner.max_iters, runner.iter)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Moves the bar and shows the loss."""
        loss = (outputs or {}).get('loss')
        # Only now and then: reading a loss waits for the device.
        if loss is not None and self._bar is not None and time.monotonic() >= self._next_loss:
            self._next_loss = time.monotonic() + self._bar.mininterval
            self._bar.set_postfix_str(f'loss {float(loss.detach()):.3f}', refresh=False)
        self._step()

    def after_train(self, runner: Any) -> None:
        """Closes the bar."""
        self._close()

    def before_val_epoch(self, runner: Any) -> None:
        """Opens a bar over the validation data; that of the training comes back afterwards."""
        self._open('validation', len(runner.val_dataloader))

    def after_val_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Moves the bar."""
        self._step()

    def after_val_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        """Closes the bar and goes on with that of the training, if one is under way."""
        self._close()
        loop = runner._train_loop
        if getattr(loop, 'iter', 0) and runner.iter < runner.max_iters:
            self._open('training', runner.max_iters, runner.iter)

    def before_test_epoch(self, runner: Any) -> None:
        """Opens a bar over the test data."""
        self._open('testing', len(runner.test_dataloader))

    def after_test_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Moves the bar."""
        self._step()

    def after_test_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        """Closes the bar."""
        self._close()
