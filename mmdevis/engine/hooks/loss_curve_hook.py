"""Picture of the loss curve at the end of training."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook


def read_scalars(paths: Sequence[Path]) -> dict[int, dict[str, float]]:
    """Reads the scalars that MMEngine's `LocalVisBackend` wrote.

    Args:
        paths: Files in the order of the runs. Of an iteration that several runs logged (a resumed
            run repeats what came after the checkpoint), the last one counts.

    Returns:
        Values by name of each training iteration, in ascending order.
    """
    found: dict[int, dict[str, float]] = {}
    for path in paths:
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the last line of a run that was killed
            if isinstance(record, dict) and 'loss' in record and 'step' in record:
                found[int(record['step'])] = record
    return dict(sorted(found.items()))


def draw_loss_curve(
    scalars: dict[int, dict[str, float]], path: Path, names: Sequence[str] | None = None
) -> None:
    """Draws losses over iterations; the file appears when it is complete.

    Args:
        scalars: As from `read_scalars`.
        path: Picture to write; the ending chooses the format.
        names: Losses to draw beside their sum. By default those of the last decoder layer: every
            name that begins with `loss_`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = np.array(list(scalars))
    last = scalars[int(steps[-1])]
    if names is None:
        names = sorted(name for name in last if name.startswith('loss_'))
    figure = Figure(figsize=(8, 4.5), dpi=120, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name in ('loss', *names):
        values = np.array([scalars[step].get(name, np.nan) for step in steps.tolist()], float)
        label = 'sum of all' if name == 'loss' else name.removeprefix('loss_')
        axes.plot(steps, values, label=label, linewidth=2 if name == 'loss' else 1)
    axes.set_xlabel('iteration')
    axes.set_ylabel('loss (weighted)')
    positive = all(record['loss'] > 0 for record in scalars.values())
    axes.set_yscale('log' if positive else 'linear')
    axes.grid(alpha=0.3)
    axes.legend()
    temporary = path.with_name(f'.{os.getpid()}.{path.name}')
    figure.savefig(temporary)
    os.replace(temporary, path)


@HOOKS.register_module()
class LossCurveHook(Hook):
    """Writes `loss_curve.png` into the work folder when training ends.

    Args:
        filename: Name of the picture.
        names: Losses to draw, see `draw_loss_curve`.
    """

    priority = 'LOWEST'

    def __init__(
        self, filename: str = 'loss_curve.png', names: Sequence[str] | None = None
    ) -> None:
        self.filename = filename
        self.names = names

    @master_only
    def after_train(self, runner: Any) -> None:
        """Draws the curve of this run, after those that it resumed."""
        current = Path(runner.log_dir)
        earlier = sorted(Path(runner.work_dir).glob('*/vis_data/scalars.json'))
        # Runs of the same folder that this one did not resume are not part of its curve.
        paths = [p for p in earlier if runner._resume or p.parents[1] == current]
        scalars = read_scalars(paths)
        if not scalars:
            runner.logger.warning('No loss was logged, so there is no curve to draw.')
            return
        target = Path(runner.work_dir) / self.filename
        draw_loss_curve(scalars, target, self.names)
        runner.logger.info(f'Loss curve: {target}')
