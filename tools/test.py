"""Evaluates a model: `python tools/test.py CONFIG CHECKPOINT`, with MMDetection's arguments."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults
from mmengine.runner import Runner

from mmdevis.engine import prepare_launch
from mmdevis.utils.allocator import keep_freed_memory
from mmdevis.utils.checkpoint import check_belongs
from mmdevis.utils.cli import USER_ERRORS, UsageError, add_runner_arguments, explain, load_config
from mmdevis.utils.memory_format import lay_out_for_inference


def parse_arguments(arguments: list[str] | None = None) -> Namespace:
    """Parses the command line.

    Args:
        arguments: Its words; the program's own by default.
    """
    parser = ArgumentParser(description='Evaluate a model on the test data of its config.')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', metavar='FILE.pkl', help='write all predictions to a pickle file')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', help='draw predictions into this folder of the work folder')
    parser.add_argument(
        '--wait-time', type=float, default=2.0, help='seconds each picture is shown'
    )
    add_runner_arguments(parser)
    return parser.parse_args(arguments)


def build_config(arguments: Namespace) -> Config:
    """Makes the config of the run.

    Args:
        arguments: As from `parse_arguments`.

    Raises:
        UsageError: When an argument does not fit the config; says what to do.
    """
    cfg = load_config(arguments)
    cfg.load_from, cfg.resume = arguments.checkpoint, False
    if arguments.out is not None and not arguments.out.endswith(('.pkl', '.pickle')):
        raise UsageError(f'--out {arguments.out}: the name must end in .pkl or .pickle')
    if arguments.show or arguments.show_dir:
        hook = cfg.get('default_hooks', {}).get('visualization')
        if hook is None:
            raise UsageError(
                '--show and --show-dir need default_hooks.visualization in the config, such as '
                "dict(type='TrackVisualizationHook')"
            )
        hook.update(draw=True)
        if arguments.show:
            hook.update(show=True, wait_time=arguments.wait_time)
        if arguments.show_dir:
            hook.update(test_out_dir=arguments.show_dir)
    return cfg


@contextmanager
def dumped(runner: Runner, out: str | None) -> Iterator[None]:
    """Lets a test write all predictions to a file, which appears when it is complete.

    Args:
        runner: The runner; gets one metric more.
        out: The file, or None for none.

    Raises:
        UsageError: When nothing can be written there; before the test, which takes long.
    """
    if out is None:
        yield
        return
    path = Path(out).absolute()
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise UsageError(f'--out {out}: cannot be written ({error})') from error
    try:
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=str(temporary)))
        yield
        if is_main_process():
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Evaluates.

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
        runner = Runner.from_cfg(cfg)
        if '://' not in parsed.checkpoint:
            check_belongs(runner.model, parsed.checkpoint)
        lay_out_for_inference(runner.model)
        with dumped(runner, parsed.out):
            runner.test()
    except USER_ERRORS as error:
        print(f'error: {explain(error)}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
