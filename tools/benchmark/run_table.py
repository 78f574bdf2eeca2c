"""Fills a benchmark table: trains, evaluates and writes docs/benchmarks/NAME.md and .json.

python tools/benchmark/run_table.py configs/benchmark/peers_synthvis-cpu.py --hours 2

Each run has a folder. Finished runs are not repeated and interrupted ones go on, so the same
command may be given again until the table is full; the report is written after every run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from mmengine.config import Config, DictAction

from mmdevis.benchmarking.data import make_data
from mmdevis.benchmarking.plan import RunSpec, final_runs, first_runs, stages
from mmdevis.benchmarking.provenance import ROOT, describe
from mmdevis.benchmarking.report import best_factors, make_report
from mmdevis.benchmarking.run import FolderMismatchError, execute
from mmdevis.utils.allocator import keep_freed_memory
from mmdevis.utils.files import write_text


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('table', type=Path, help='table file, see configs/benchmark')
    parser.add_argument('--work-dir', type=Path, help='default work_dirs/benchmark/NAME')
    parser.add_argument('--out', type=Path, default=ROOT / 'docs/benchmarks')
    hours = 'time for all trainings; an evaluation may end minutes later'
    parser.add_argument('--hours', type=float, default=float('inf'), help=hours)
    parser.add_argument('--only', nargs='+', metavar='ENTRY', help='train only these entries')
    parser.add_argument('--report-only', action='store_true', help='train nothing')
    parser.add_argument('--set', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')
    return parser.parse_args(argv)


def execute_apart(*args: object) -> bool:
    """`execute` in a process of its own, so that its peak memory is that of one run."""
    spawn = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=keep_freed_memory) as pool:
        return pool.submit(execute, *args).result()


def main(argv: list[str] | None = None, run: Callable[..., bool] = execute_apart) -> int:
    """Fills the table as far as the time allows.

    Args:
        argv: Arguments; default those of the process.
        run: What does one run.

    Returns:
        Exit status: 0, or 2 when something does not fit.
    """
    args = parse_args(argv)
    table = Config.fromfile(args.table)
    table.merge_from_dict(args.set)
    folder = args.work_dir or ROOT / 'work_dirs/benchmark' / args.table.stem
    end = time.monotonic() + 3600 * args.hours
    size = tuple(table.data.settings.size)
    command = ' '.join(['python', 'tools/benchmark/run_table.py', *(argv or sys.argv[1:])])
    how = {'command': f'`{command}`', **describe()}
    del how['threads']  # of this process; each run notes its own
    subsets = list(table.data.subsets)

    def report() -> None:
        text, content = make_report(table, folder, how)
        write_text(args.out / f'{args.table.stem}.md', text)
        write_text(args.out / f'{args.table.stem}.json', json.dumps(content, indent=1) + '\n')

    wanted = set(args.only or table.entries)
    if unknown := sorted(wanted - table.entries.keys()):
        known = ', '.join(table.entries)
        print(f'error: --only: not in the table: {unknown}; it has {known}', file=sys.stderr)
        return 2
    wanted |= {table.entries[e].get('starts_from') for e in wanted}

    def run_all(specs: list[RunSpec]) -> bool:
        for number, spec in enumerate(specs, start=1):
            if spec.entry not in wanted:
                continue
            left = end - time.monotonic()
            if left <= 0:
                return False
            print(f'== {number}/{len(specs)} {spec.name}: {spec.iterations} iterations', flush=True)
            if not run(spec, data, size, folder / spec.name, left, subsets):
                return False
            report()
        return True

    complete = False
    try:
        data = None if args.report_only else make_data(table.data.to_dict())
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    try:
        if data is not None:
            first, *others = table.seeds
            complete = run_all(stages(table, first) + first_runs(table)) and run_all(
                [stage for seed in others for stage in stages(table, seed)]
                + final_runs(table, best_factors(table, folder))
            )
    except (FolderMismatchError, OSError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    report()
    done = 'complete' if args.only is None else f'complete for {", ".join(args.only)}'
    print(done if complete else 'not complete: give the same command again to go on')
    print(args.out / f'{args.table.stem}.md')
    return 0


if __name__ == '__main__':
    sys.exit(main())
