"""Trains a model: `python tools/train.py CONFIG`, with the arguments of MMDetection's tool."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint

from mmdevis.engine import prepare_launch
from mmdevis.utils.allocator import keep_freed_memory
from mmdevis.utils.checkpoint import check_belongs
from mmdevis.utils.cli import USER_ERRORS, UsageError, add_runner_arguments, explain, load_config


def parse_arguments(arguments: list[str] | None = None) -> Namespace:
    """Parses the command line.

    Args:
        arguments: Its words; the program's own by default.
    """
    parser = ArgumentParser(description='Train a model.')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision on a GPU: float16, or bfloat16 with '
        '--cfg-options optim_wrapper.dtype=bfloat16',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate from the config's base batch size to the one in use",
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without a name, from the latest of the work folder',
    )
    add_runner_arguments(parser)
    return parser.parse_args(arguments)


def build_config(arguments: Namespace) -> Config:
    """Makes the config of the run.

    Args:
        arguments: As from `parse_arguments`.

    Raises:
        UsageError: When an argument does not fit the config or the machine; says what to do.
    """
    cfg = load_config(arguments)
    if arguments.amp:
        if not torch.cuda.is_available():
            raise UsageError('--amp needs a GPU, and torch sees none here: leave it out')
        if cfg.optim_wrapper.get('type', 'OptimWrapper') not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise UsageError(f'--amp cannot replace optim_wrapper.type={cfg.optim_wrapper.type}')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if arguments.auto_scale_lr:
        if not cfg.get('auto_scale_lr', {}).get('base_batch_size'):
            raise UsageError(
                f'--auto-scale-lr needs auto_scale_lr = dict(base_batch_size=...) in '
                f'{arguments.config}: the number of clips per step that its learning rate is for'
            )
        cfg.auto_scale_lr.enable = True
    if arguments.resume == 'auto':
        cfg.resume, cfg.load_from = True, None
    elif arguments.resume is not None:
        cfg.resume, cfg.load_from = True, arguments.resume
    return cfg


def check_start(runner: Runner, cfg: Config) -> None:
    """Makes sure that the checkpoint to start from belongs to the model, before anything is done.

    Args:
        runner: Runner with its model built.
        cfg: Config of the run.

    Raises:
        CheckpointError: When there is no such file, it cannot be read safely or is of another
            config.
    """
    path = cfg.get('load_from')
    if path is None and cfg.get('resume'):
        path = find_latest_checkpoint(cfg.work_dir)
    if path is None or '://' in path:
        return  # nothing to start from, or MMEngine's business to download
    # A run goes on only in the very same model; a new one may start from a part of its weights.
    check_belongs(runner.model, path, strict=bool(cfg.get('resume')))


def main(arguments: list[str] | None = None) -> int:
    """Trains.

    Args:
        arguments: Words of the command line.

    Returns:
        Exit status.
    """
    parsed = parse_arguments(arguments)
    keep_freed_memory()
    try:
        cfg = build_config(parsed)
        prepare_launch(cfg, parsed.launcher)
        # `runner_type='FlexibleRunner'` is for models spread over GPUs, see docs/large_models.md.
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        if isinstance(runner, Runner):  # the other one builds its model only while it starts
            check_start(runner, cfg)
        runner.train()
    except USER_ERRORS as error:
        print(f'error: {explain(error)}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
