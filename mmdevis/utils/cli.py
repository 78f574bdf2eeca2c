"""What the command-line tools for training and testing share."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mmengine.config import Config, DictAction

from mmdevis.datasets.errors import AnnotationError, FrameError

from .checkpoint import CheckpointError
from .losses import NonFiniteLossError


class UsageError(ValueError):
    """An argument does not fit the config or the machine; the message says what to do."""


#: What the person at the keyboard can put right; a traceback would only hide the message.
USER_ERRORS = (UsageError, CheckpointError, NonFiniteLossError, AnnotationError, FrameError)


def explain(error: BaseException) -> str:
    """Takes the message out of an error.

    Args:
        error: One of `USER_ERRORS`. One that a loader's worker met carries the worker's whole
            traceback in its message, of which the last part is the message.

    Returns:
        The message alone.
    """
    return str(error).rpartition(f'{type(error).__name__}: ')[2]


def add_runner_arguments(parser: ArgumentParser) -> None:
    """Adds the arguments that MMDetection's train and test tools have in common.

    Args:
        parser: Parser to add to.
    """
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and results')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='settings to change in the config, such as train_dataloader.batch_size=2; lists as '
        'key="[a,b]" or key=a,b',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes of a distributed run',
    )
    # Launchers pass one of the two spellings; the environment variable is what counts.
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help='set by launchers'
    )


def load_config(arguments: Namespace) -> Config:
    """Reads the config of a run and applies the common arguments.

    Args:
        arguments: Parsed arguments of `add_runner_arguments`, and `config`.

    Returns:
        The config, with `work_dir` set: from the command line, else the config, else
        `work_dirs/NAME_OF_THE_CONFIG`.

    Raises:
        UsageError: When there is no such config, or it is none of a model.
    """
    os.environ.setdefault('LOCAL_RANK', str(arguments.local_rank))
    if not Path(arguments.config).is_file():
        raise UsageError(f'There is no config file {arguments.config}')
    cfg = Config.fromfile(arguments.config)
    if 'model' not in cfg:
        raise UsageError(f'{arguments.config} has no "model": it is empty or no config to run')
    if arguments.cfg_options is not None:
        cfg.merge_from_dict(arguments.cfg_options)
    if arguments.work_dir is not None:
        cfg.work_dir = arguments.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.fspath(Path('work_dirs') / Path(arguments.config).stem)
    return cfg
