"""Draws losses and metrics of one or several runs over training iterations.

python tools/analysis_tools/plot_curves.py WORK_DIR [WORK_DIR ...] --out curves.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmdevis.visualization.curves import TrainingLog, find_logs, plot_curves, read_log
from mmdevis.visualization.figure_files import save_figure


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'runs', type=Path, nargs='+', help='work folders (or vis_data/scalars.json files)'
    )
    parser.add_argument('--out', type=Path, required=True, help='picture to write')
    parser.add_argument(
        '--keys',
        nargs='+',
        help='what to draw, such as loss_mask d0.loss_cls lr youtube_vis/AP; default: the losses '
        'of the last decoder layer, and AP if there is one',
    )
    parser.add_argument('--legend', nargs='+', help='a name per run; default: its folder')
    parser.add_argument(
        '--smooth', type=int, default=1, help='average losses over so many logged values'
    )
    parser.add_argument('--title', default='')
    parser.add_argument('--list', action='store_true', help='only print what the runs logged')
    args = parser.parse_args(argv)
    if args.legend and len(args.legend) != len(args.runs):
        parser.error(f'--legend has {len(args.legend)} names for {len(args.runs)} runs')
    if args.smooth < 1:
        parser.error(f'--smooth must be at least 1, got {args.smooth}')
    return args


def run_names(runs: Sequence[Path]) -> list[str]:
    """Shortest ends of the paths that tell the runs apart."""
    parts = [run.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(p[-length:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    raise ValueError('the same run is named twice')


def default_keys(logs: Sequence[TrainingLog]) -> list[str]:
    """The sum of the losses, those of the last decoder layer, and AP."""
    known = list(dict.fromkeys(name for log in logs for name in log.names()))
    losses = [name for name in known if name == 'loss' or name.startswith('loss_')]
    return losses + [name for name in known if name.endswith('/AP')]


def main(argv: Sequence[str] | None = None) -> int:
    """Read, draw, write; returns the exit status."""
    args = parse_args(argv)
    try:
        names = args.legend or run_names(args.runs)
        logs = {name: read_log(find_logs(run)) for name, run in zip(names, args.runs)}
        if args.list:
            for name, log in logs.items():
                print(f'{name}: {len(log.train)} records of losses, {len(log.metrics)} validations')
                print('  ' + ' '.join(log.names()))
            return 0
        keys = args.keys or default_keys(list(logs.values()))
        if not keys:
            raise ValueError('nothing was logged yet')
        save_figure(plot_curves(logs, keys, args.smooth, args.title), args.out)
    except (OSError, ValueError, KeyError) as error:
        print(f'error: {error.args[0] if isinstance(error, KeyError) else error}', file=sys.stderr)
        return 2
    for name, log in logs.items():
        last = {key: log.values(key)[1][-1] for key in keys if len(log.values(key)[1])}
        print(f'{name}: ' + ', '.join(f'{key} {value:.4g}' for key, value in last.items()))
    print(f'{args.out}: {len(keys)} curves of {len(logs)} runs')
    return 0


if __name__ == '__main__':
    sys.exit(main())
