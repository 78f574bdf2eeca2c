"""Evaluates many settings of the tracker while the model runs only once.

python tools/analysis_tools/sweep_tracker.py CONFIG CHECKPOINT --clips work_dirs/clips \
    --grid mask_weight=1,2 class_weight=0,1 stride=2,4 [--json FILE]

Keys of the grid are the arguments of the config's tracker (see MultiCueClipTracker), `stride` and
`max_per_clip`; all combinations are evaluated on the config's test data, whose annotations must be
there. The clip predictions stay in the folder --clips: a second sweep, or one that was interrupted,
goes on with what is there. Numbers are those of tools/test.py with the same settings.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import DATASETS
from mmengine.config import Config, DictAction
from tqdm import tqdm

from mmdevis.apis.vis_inferencer import VISInferencer
from mmdevis.datasets.lazy_video import LazyVideo
from mmdevis.evaluation.clip_store import ClipStore, record_video
from mmdevis.evaluation.functional.tables import text_table
from mmdevis.evaluation.tracker_sweep import (
    Setting,
    expand_grid,
    recording_needs,
    sweep,
    video_id_of,
)
from mmdevis.utils.checkpoint import CheckpointError
from mmdevis.utils.cli import UsageError
from mmdevis.utils.files import write_text

SHOWN = ('AP', 'AP50', 'AP75', 'AR1', 'AR10', 'HOTA', 'IDF1', 'IDSW')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--clips', type=Path, required=True, help='folder of the clip predictions; made if absent'
    )
    parser.add_argument(
        '--grid',
        nargs='+',
        default=[],
        metavar='KEY=VALUE[,VALUE...]',
        help='values to combine (default: the settings of the config alone)',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write all results to FILE')
    parser.add_argument('--sort', default='AP', help='metric to sort by (default %(default)s)')
    parser.add_argument(
        '--half', action='store_true', help='record masks in half precision: half the disk space'
    )
    parser.add_argument(
        '--at-once',
        type=int,
        default=8,
        help='settings that share a pass over the data; fewer need less memory (default '
        '%(default)s)',
    )
    parser.add_argument('--device', default='auto', help='cpu, cuda, ... (default: a GPU if any)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    return parser.parse_args(argv)


def parse_grid(words: Sequence[str]) -> dict[str, list[Any]]:
    """Reads `key=value,value` words.

    Args:
        words: Such as `mask_weight=0.5,1`, `final_class_policy=most_common`.

    Returns:
        Values by key.

    Raises:
        UsageError: If a word is not of this form.
    """
    grid: dict[str, list[Any]] = {}
    for word in words:
        key, separator, values = word.partition('=')
        if not separator or not key or not values:
            raise UsageError(f'--grid {word}: expected KEY=VALUE or KEY=VALUE,VALUE,...')
        grid[key] = [_value(value) for value in values.split(',')]
    return grid


def _value(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (SyntaxError, ValueError):
        return word


def prepare_config(args: argparse.Namespace) -> Config:
    """Reads the config and makes sure that there is something to score.

    Args:
        args: The command line.

    Raises:
        UsageError: If there is no such config or it does not score.
    """
    if not Path(args.config).is_file():
        raise UsageError(f'there is no config file {args.config}')
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if cfg.test_evaluator.get('format_only'):
        raise UsageError(
            'the config only writes results for a server (test_evaluator.format_only). Sweep on '
            'data with annotations: see "Local validation" in docs/datasets.md'
        )
    # Every setting would write the same file.
    cfg.test_evaluator.pop('outfile_prefix', None)
    return cfg


def describe(cfg: Config, checkpoint: str) -> dict[str, str]:
    """What clip predictions depend on, for :class:`ClipStore`."""
    model = {key: value for key, value in cfg.model.items() if key not in ('tracker', 'test_cfg')}
    data = cfg.test_dataloader.dataset.to_dict()
    return {
        'checkpoint (sha256)': hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest(),
        'model (sha256)': hashlib.sha256(repr(model).encode()).hexdigest(),
        'test data (sha256)': hashlib.sha256(repr(data).encode()).hexdigest(),
    }


def record(inferencer: VISInferencer, dataset: Any, store: ClipStore) -> None:
    """Runs the model on the videos that the store lacks.

    Args:
        inferencer: Holds the model.
        dataset: The test data.
        store: Gets the predictions.

    Raises:
        UsageError: If the test pipeline does not give videos that are read frame by frame.
    """
    for index in tqdm(range(len(dataset)), desc='clips', unit='video'):
        item = dataset[index]
        video_id = video_id_of(item['data_samples'])
        if video_id in store:
            continue
        if not isinstance(item['inputs'], LazyVideo):
            raise UsageError("the test pipeline must end in dict(type='PackLazyVideo', ...)")
        store.write(
            video_id,
            record_video(inferencer.model, item['inputs'], store.stride, store.max_instances),
        )


def result_table(rows: Sequence[tuple[Setting, dict[str, float]]], sort: str) -> str:
    """Table of all settings, best first.

    Args:
        rows: Settings with their metrics, names without prefix.
        sort: Metric to sort by.

    Raises:
        UsageError: If there is no such metric.
    """
    names = [name for name in SHOWN if name in rows[0][1]]
    if sort not in rows[0][1]:
        raise UsageError(f'--sort {sort}: the metrics are {", ".join(rows[0][1])}')
    names = [sort, *(name for name in names if name != sort)]
    keys = list(rows[0][0].changed)
    ordered = sorted(rows, key=lambda row: -row[1][sort])
    lines = [
        [
            ', '.join(f'{key}={setting.changed[key]}' for key in keys) or 'as in the config',
            *(f'{metrics[name]:.4f}' for name in names),
        ]
        for setting, metrics in ordered
    ]
    return text_table(('setting', *names), lines)


def write_json(path: Path, rows: Sequence[tuple[Setting, dict[str, float]]]) -> None:
    """Writes all results, whole or not at all.

    Args:
        path: File.
        rows: Settings with their metrics.
    """
    content = [
        dict(
            changed=setting.changed,
            stride=setting.stride,
            max_per_clip=setting.max_per_clip,
            tracker=setting.tracker,
            metrics=metrics,
        )
        for setting, metrics in rows
    ]
    write_text(path, json.dumps(content, indent=2) + '\n')


def run(args: argparse.Namespace) -> None:
    """Records what is missing and sweeps.

    Args:
        args: The command line.
    """
    cfg = prepare_config(args)
    inferencer = VISInferencer(cfg, args.checkpoint, args.device)
    settings = expand_grid(cfg.model, parse_grid(args.grid))
    device = next(inferencer.model.parameters()).device
    store = ClipStore(
        args.clips, describe(cfg, args.checkpoint), *recording_needs(settings), half=args.half
    )
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    record(inferencer, dataset, store)
    rows = []
    with (
        tqdm(total=len(dataset) * len(settings), desc='tracking', unit='video') as bar,
        torch.no_grad(),
    ):
        for setting, metrics in sweep(
            dataset, store, cfg.model.num_frames, settings, cfg.test_evaluator, device,
            args.at_once, bar.update,
        ):  # fmt: skip
            if not metrics:
                raise UsageError('the test data have no annotations: there is nothing to score')
            rows.append((setting, {name.split('/')[-1]: v for name, v in metrics.items()}))
            if args.json:
                write_json(args.json, rows)
    print(result_table(rows, args.sort))


def main(argv: Sequence[str] | None = None) -> int:
    """Sweeps and prints.

    Args:
        argv: Words of the command line.

    Returns:
        Exit status: 0, or 1 when something does not fit.
    """
    try:
        run(parse_args(argv))
    except (UsageError, CheckpointError, ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
