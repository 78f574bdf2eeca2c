"""Tables out of finished runs."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from .plan import RunSpec, final_runs, first_runs
from .plan import rows as shown_entries
from .run import RESULT

_SCORES = ('AP', 'AP50', 'AR1', 'AR10', 'HOTA', 'IDSW', 'AP_slight', 'AP_moderate', 'AP_heavy')
#: Kinds of error that the report lists.
ERROR_KINDS = (
    'classification', 'identity', 'localisation', 'mask', 'missed', 'false positives', 'duplicates'
)  # fmt: skip


def read_results(runs: Sequence[RunSpec], folder: Path) -> dict[str, dict]:
    """Results of those runs that are finished, by name."""
    found = {}
    for spec in runs:
        path = folder / spec.name / RESULT
        if path.exists():
            found[spec.name] = json.loads(path.read_text())
    return found


def best_factors(table: Config, folder: Path) -> dict[str, float]:
    """The learning-rate factor of best AP on `valid` of each entry whose sweep is finished."""
    runs = first_runs(table)
    results = read_results(runs, folder)
    by_entry: dict[str, list[RunSpec]] = defaultdict(list)
    for spec in runs:
        by_entry[spec.entry].append(spec)
    return {
        entry: max(specs, key=lambda s: results[s.name]['sets']['valid']['AP']).lr_factor
        for entry, specs in by_entry.items()
        if all(s.name in results for s in specs)
    }


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the range."""
    return statistics.fmean(values), (max(values) - min(values)) / 2


def _cell(values: Sequence[float], digits: int = 3) -> str:
    if not values or -1 in values:
        return '-'
    mean, spread = mean_and_spread(values)
    return f'{mean:.{digits}f}' + (f' ± {spread:.{digits}f}' if len(values) > 1 else '')


def compare(better: Sequence[float], worse: Sequence[float]) -> str:
    """Whether one group of scores is above another by more than their spreads.

    Returns:
        'reproduced', 'reversed', 'not distinguishable', or 'not measured'; a group of one score has
        no spread, which the text then says.
    """
    if not better or not worse:
        return 'not measured'
    (a, da), (b, db) = mean_and_spread(better), mean_and_spread(worse)
    if abs(a - b) <= max(da, db):
        return 'not distinguishable'
    verdict = 'reproduced' if a > b else 'reversed'
    return verdict if min(len(better), len(worse)) > 1 else f'{verdict}, but from one seed'


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ['---'] * len(header), *rows]
    return ['| ' + ' | '.join(line) + ' |' for line in lines] + ['']


def _about_run(result: dict) -> dict[str, str]:
    """What the report says about its runs."""
    started = result.get('origin', {}).get('started', {})
    backbone = result['spec'].get('backbone')
    start = 'as in its config'
    if backbone is not None:
        weights = (backbone.get('init_cfg') or {}).get('checkpoint')
        start = f'{backbone["type"]}, {f"weights of {weights}" if weights else "from scratch"}'
    return {
        'commits of runs': started.get('commit', 'a commit that was not recorded'),
        'threads of a run': started.get('threads', 'not recorded'),
        'backbone': start,
    }


def make_report(table: Config, folder: Path, provenance: dict) -> tuple[str, dict]:
    """Markdown and json of what is finished.

    Args:
        table: The table file.
        folder: Folder of the runs.
        provenance: Command, commit, versions, machine, time.

    Returns:
        The text and the content of the json file.
    """
    best = best_factors(table, folder)
    runs = final_runs(table, best)
    results = read_results(runs, folder)
    sweep = read_results(first_runs(table), folder)
    entries = shown_entries(table)
    of_entry: dict[str, list[dict]] = defaultdict(list)
    for spec in runs:
        if spec.name in results and 'diverged' not in results[spec.name]:
            of_entry[spec.entry].append(results[spec.name])

    lines = [f'# {table.title}', '', table.get('note', ''), '']
    lines.append(
        f'{len(sweep)} of {len(first_runs(table))} runs of the sweep and {len(results)} of '
        f'{len(entries) * len(table.seeds)} final runs are finished; '
        f'{table.train_frames} training frames each, seeds {list(table.seeds)}, '
        'mean ± half the range. The [protocol](protocol.md) says how.'
    )
    lines += ['']

    def by_seed(entry: str, name: str, subset: str = 'test') -> dict[int, float]:
        done = [r for r in of_entry[entry] if name in r['sets'].get(subset, {})]
        return {r['spec']['seed']: r['sets'][subset][name] for r in done}

    def over(entry: str, name: str, subset: str = 'test') -> list[float]:
        return list(by_seed(entry, name, subset).values())

    subsets = list(table.data.subsets)
    rows = []
    for entry, settings in entries.items():
        row = [settings.title, *(_cell(over(entry, n), 1 if n == 'IDSW' else 3) for n in _SCORES)]
        rows.append(row + [_cell(over(entry, 'AP', s)) for s in subsets])
    lines += _rows(['model', *_SCORES, *(f'AP, {s}' for s in subsets)], rows)
    rows = []
    for entry, settings in entries.items():
        done = of_entry[entry]
        source = settings.get('weights_of')
        trained = [] if source else done
        factor = best.get(source or entry)
        rows.append(
            [
                settings.title,
                f'{done[0]["parameters"] / 1e6:.2f}' if done else '-',
                _cell([r['fps'] for r in done], 1),
                _cell([r['fps_cpu'] for r in done if 'fps_cpu' in r], 1),
                _cell([r['peak_memory_mib'] for r in trained if 'peak_memory_mib' in r], 0),
                *(
                    _cell([r[name] / 60 for r in trained if name in r], 1)
                    for name in ('train_seconds', 'train_cpu_seconds')
                ),
                '-' if factor is None else f'{factor:g}',
            ]
        )
    header = ['model', 'parameters (M)', 'FPS', 'frames per CPU second', 'peak memory (MiB)']
    header += ['training (min)', 'training (CPU min)', 'lr factor']
    lines += _rows(header, rows)
    lines += ['Learning rates: AP on `valid`, first seed.', '']
    lines += _rows(
        ['run', 'AP'],
        [
            (n, 'diverged' if 'diverged' in r else f'{r["sets"]["valid"]["AP"]:.3f}')
            for n, r in sweep.items()
        ],
    )
    lines += ['AP lost by kind of error (each corrected alone, mean over seeds):', '']
    rows = [
        [
            s.title,
            *(_cell([r['errors']['alone'][k]['AP'] for r in of_entry[e]]) for k in ERROR_KINDS),
        ]
        for e, s in entries.items()
    ]
    lines += _rows(['model', *ERROR_KINDS], rows)
    statements = []
    for c in table.get('comparisons', []):
        a, b = over(c['better'], 'AP'), over(c['worse'], 'AP')
        text = f'{c["claim"]}: {compare(a, b)}'
        if a and b:
            first, second = by_seed(c['better'], 'AP'), by_seed(c['worse'], 'AP')
            each = [f'{first[s] - second[s]:+.3f}' for s in sorted(first.keys() & second.keys())]
            text += f' ({_cell(a)} against {_cell(b)} AP; seed by seed {", ".join(each)})'
        statements.append(text)
    if statements:
        lines += ['## Directions of the paper', '', *(f'- {s}.' for s in statements), '']
    about: dict[str, set[str]] = defaultdict(set)
    for result in (*sweep.values(), *results.values()):
        for name, text in _about_run(result).items():
            about[name].add(text)
    of_runs = {name: ', '.join(sorted(texts)) for name, texts in about.items()}
    lines += ['## How', '', *(f'- {k}: {v}' for k, v in {**provenance, **of_runs}.items()), '']
    content = {
        'provenance': provenance,
        'table': table.to_dict(),
        'lr_factors': best,
        'sweep': sweep,
        'runs': results,
        'statements': statements,
    }
    return '\n'.join(lines), content
