"""Curves of losses and metrics from the logs of one or several runs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .figure_files import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass
class TrainingLog:
    """What a run wrote down.

    Attributes:
        train: Values by name of each logged training iteration, ascending.
        metrics: Values by name of each validation, by the last training iteration logged before it.
    """

    train: dict[int, dict[str, float]] = field(default_factory=dict)
    metrics: dict[int, dict[str, float]] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Names of all values, losses first, then metrics, each in order of appearance."""
        found: dict[str, None] = {}
        for records in (self.train, self.metrics):
            for record in records.values():
                found.update(dict.fromkeys(record))
        return list(found)

    def values(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Iterations (N,) and values (N,) of a loss or metric, as far as they are finite."""
        records = self.train if any(name in r for r in self.train.values()) else self.metrics
        pairs = [(step, record[name]) for step, record in records.items() if name in record]
        pairs = [pair for pair in pairs if math.isfinite(pair[1])]
        steps, values = np.array(pairs, float).reshape(-1, 2).T
        return steps, values


def find_logs(path: str | os.PathLike) -> list[Path]:
    """Files of scalars that MMEngine's `LocalVisBackend` wrote.

    Args:
        path: Work folder of one or several runs, log folder of one run, or the file itself.

    Returns:
        The files, oldest first.

    Raises:
        FileNotFoundError: If there is none.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    for pattern in ('vis_data/scalars.json', '*/vis_data/scalars.json', 'scalars.json'):
        if found := sorted(path.glob(pattern)):
            return found
    raise FileNotFoundError(
        f'{path} has no */vis_data/scalars.json: is it the work folder of a run that logged '
        'anything, with LocalVisBackend among the vis_backends?'
    )


def read_log(paths: Sequence[Path]) -> TrainingLog:
    """Read the logs of a run and of those that resumed it.

    Args:
        paths: Files, oldest first. A resumed run repeats what came after its checkpoint: from its
            first iteration on, it replaces what came before. A run that started anew in the same
            folder so replaces all.

    Returns:
        The log.
    """
    log = TrainingLog()
    for path in paths:
        current, position = TrainingLog(), None
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the last line of a run that was killed
            if not isinstance(record, dict) or 'step' not in record:
                continue
            values = {k: v for k, v in record.items() if isinstance(v, (int, float))}
            if 'loss' in record:
                position = int(record['step'])
                current.train[position] = values
            elif any('/' in name for name in values):
                # MMEngine counts epochs here and iterations there, so its own step is of no use.
                where = position if position is not None else max(log.train, default=0)
                current.metrics[where] = {k: v for k, v in values.items() if '/' in k}
        first = min(current.train, default=math.inf)
        for name in ('train', 'metrics'):
            kept = {k: v for k, v in getattr(log, name).items() if k < first}
            kept.update(getattr(current, name))
            setattr(log, name, dict(sorted(kept.items())))
    return log


def read_scalars(paths: Sequence[Path]) -> dict[int, dict[str, float]]:
    """Training part of `read_log`: values by name of each logged iteration, ascending."""
    return read_log(paths).train


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over the last `window` values; over fewer at the start.

    Args:
        values: (N,).
        window: At least 1, which changes nothing.

    Returns:
        (N,).
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - window, 0)
    return (total[stop] - total[start]) / (stop - start)


def plot_curves(
    logs: Mapping[str, TrainingLog], names: Sequence[str], window: int = 1, title: str = ''
) -> Figure:
    """Compare runs: a panel per loss or metric, a line per run.

    Args:
        logs: Runs by the name that the legend shows.
        names: Losses and metrics.
        window: Losses are averaged over so many logged values.
        title: Stands above.

    Returns:
        The figure.

    Raises:
        KeyError: If no run has one of `names`; the message lists what there is.
    """
    known = list(dict.fromkeys(name for log in logs.values() for name in log.names()))
    missing = [name for name in names if name not in known]
    if missing:
        raise KeyError(f'no run logged {", ".join(missing)}; there is: {", ".join(known)}')
    columns = min(len(names), 3)
    rows = math.ceil(len(names) / columns)
    figure = new_figure((4.2 * columns, 3.0 * rows + 0.3 * bool(title)))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(grid, names):
        for label, log in logs.items():
            steps, values = log.values(name)
            is_metric = '/' in name
            marker = 'o' if is_metric else None
            line = values if is_metric else smooth(values, window)
            # An empty line keeps the run's colour the same in all panels.
            axes.plot(steps, line, label=label, marker=marker, markersize=4, linewidth=1.3)
        _finish(axes, name, log_scale=_all_positive(logs, name) and '/' not in name)
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    if len(logs) > 1:
        grid[0].legend(fontsize=8)
    if title:
        figure.suptitle(title)
    return figure


def draw_loss_curve(
    scalars: dict[int, dict[str, float]], path: Path, names: Sequence[str] | None = None
) -> None:
    """Draw the losses of one run into one panel; the file appears when it is complete.

    Args:
        scalars: As from `read_scalars`.
        path: Picture to write; the ending chooses the format.
        names: Losses to draw beside their sum. By default those of the last decoder layer: every
            name that begins with `loss_`.
    """
    log = TrainingLog(train=scalars)
    if names is None:
        names = sorted(name for name in scalars[max(scalars)] if name.startswith('loss_'))
    figure = new_figure((8, 4.5))
    axes = figure.add_subplot()
    for name in ('loss', *names):
        label = 'sum of all' if name == 'loss' else name.removeprefix('loss_')
        axes.plot(*log.values(name), label=label, linewidth=2 if name == 'loss' else 1)
    _finish(axes, 'loss (weighted)', log_scale=_all_positive({'': log}, 'loss'))
    axes.legend()
    save_figure(figure, path)


def _all_positive(logs: Mapping[str, TrainingLog], name: str) -> bool:
    return all((log.values(name)[1] > 0).all() for log in logs.values())


def _finish(axes: Axes, name: str, log_scale: bool) -> None:
    axes.set(xlabel='iteration', ylabel=name, yscale='log' if log_scale else 'linear')
    axes.grid(alpha=0.3)
