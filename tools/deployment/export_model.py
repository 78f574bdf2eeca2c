"""Exports the per-clip model of a video config, and compares the file with the model.

python tools/deployment/export_model.py CONFIG CHECKPOINT --size 360 640 --out devis.onnx

The file is complete or not there. A clip is run through it and through the model; when they differ
by more than --tolerance, no file is left and the exit status is 1. See docs/export.md for what the
outputs are and what cannot be exported.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from torch import Tensor

from mmdevis.apis.frame_source import FrameError, open_frames
from mmdevis.apis.vis_inferencer import VISInferencer
from mmdevis.export import (
    DEFAULT_OPSET,
    ClipDescription,
    ClipModule,
    ExportedClip,
    ExportError,
    compare_outputs,
    describe_differences,
    export_program,
    save_onnx,
    save_program,
)
from mmdevis.models.vis.devis import DeVIS
from mmdevis.ops import BACKENDS
from mmdevis.utils.checkpoint import CheckpointError
from mmdevis.utils.cli import UsageError
from mmdevis.utils.pending_file import whole_file

ENDINGS = {'onnx': '.onnx', 'torch_export': '.pt2'}


class DifferenceError(RuntimeError):
    """The exported file does not compute what the model does."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of a video model')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--format', choices=sorted(ENDINGS), help='default: by the ending of --out, .onnx or .pt2'
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        required=True,
        metavar=('H', 'W'),
        help='of the frames that the file will take',
    )
    parser.add_argument('--out', type=Path, required=True, help='file to write')
    parser.add_argument(
        '--backend',
        choices=BACKENDS,
        default='reference',
        help="temporal deformable attention of torch_export: reference is PyTorch's own operators "
        '(default), auto or cpu keeps the fast custom op, which needs mmdevis to run',
    )
    parser.add_argument(
        '--opset', type=int, default=DEFAULT_OPSET, help="of ONNX's operators (default %(default)s)"
    )
    parser.add_argument(
        '--video', help='compare on its first frames; default: noise. A file or a folder of images'
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=1e-3,
        help='largest difference allowed, of an output whose values exceed 1 relative to the '
        'largest (default %(default)s)',
    )
    parser.add_argument('--no-verify', action='store_true', help='do not run the file')
    parser.add_argument('--device', default='cpu', help='that a .pt2 file is made for')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    return parser.parse_args(argv)


def chosen_format(args: argparse.Namespace) -> str:
    """The format to write.

    Raises:
        UsageError: If arguments contradict each other or make no sense.
    """
    if min(args.size) < 32:
        raise UsageError(f'--size {args.size[0]} {args.size[1]}: at least 32 pixels each way')
    by_ending = {ending: name for name, ending in ENDINGS.items()}
    name = args.format or by_ending.get(args.out.suffix)
    if name is None or args.out.suffix != ENDINGS[name]:
        wanted = ENDINGS[name] if name else ' or '.join(sorted(by_ending))
        raise UsageError(f'--out {args.out}: the ending must be {wanted}')
    if name == 'onnx' and args.backend != 'reference':
        raise UsageError(
            f"--backend {args.backend}: ONNX can only hold 'reference'; the others are kernels of "
            'their own'
        )
    return name


def load_model(args: argparse.Namespace) -> tuple[DeVIS, tuple[str, ...]]:
    """Builds the model with its weights.

    Returns:
        The model and its class names.

    Raises:
        UsageError: If there is no such config or it is one of an image model.
        CheckpointError: If the checkpoint is none of this config.
    """
    if not Path(args.config).is_file():
        raise UsageError(f'there is no config file {args.config}')
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    if 'model' not in cfg or cfg.model.type != 'DeVIS':
        kind = cfg.model.type if 'model' in cfg else 'nothing'
        raise UsageError(f'{args.config} is of {kind}, no video model: expected one of DeVIS')
    inferencer = VISInferencer(cfg, args.checkpoint, args.device)
    return inferencer.model, inferencer.class_names


def clip_to_compare_on(args: argparse.Namespace, exported: ExportedClip) -> Tensor:
    """A clip: the first frames of --video, or noise.

    Returns:
        (1, T, 3, H, W) normalised.

    Raises:
        FrameError: If the video cannot be read.
    """
    count = exported.description.num_frames
    if args.video is None:
        noise = np.random.default_rng(0).standard_normal(exported.description.input_shape)
        return torch.from_numpy(noise.astype(np.float32))
    with open_frames(args.video) as frames:
        clip = list(islice(frames, count))
    if len(clip) < count:
        raise FrameError(f'{args.video} has {len(clip)} frames; a clip has {count}')
    return exported.normalise(clip)


def verify(args: argparse.Namespace, path: Path, model: DeVIS) -> None:
    """Runs a clip through the file and the model and prints how far they are apart.

    Raises:
        DifferenceError: If that is more than --tolerance.
    """
    exported = ExportedClip(path)
    frames = clip_to_compare_on(args, exported).to(args.device)
    with torch.no_grad():
        expected = ClipModule(model)(frames)
    differences = compare_outputs(exported(frames), expected)
    print(describe_differences(differences))
    beyond = [d.name for d in differences if not d.within(args.tolerance)]
    if beyond:
        raise DifferenceError(
            f'the exported {" and ".join(beyond)} differ by more than --tolerance '
            f'{args.tolerance:g}; nothing was kept'
        )


def run(args: argparse.Namespace) -> None:
    """Exports, writes and verifies.

    Args:
        args: The command line.
    """
    name = chosen_format(args)
    model, class_names = load_model(args)
    description = ClipDescription.of(model, tuple(args.size), class_names)
    start = time.perf_counter()
    program = export_program(model, description.size, args.backend)
    with whole_file(args.out) as temporary:
        if name == 'onnx':
            save_onnx(program, temporary, description, args.opset)
        else:
            save_program(program, temporary, description)
        seconds, size = time.perf_counter() - start, temporary.stat().st_size
        if not args.no_verify:
            verify(args, temporary, model)
    print(f'{args.out}: {size / 1e6:.1f} MB, exported in {seconds:.0f} s')


def main(argv: Sequence[str] | None = None) -> int:
    """Exports and reports.

    Args:
        argv: Words of the command line.

    Returns:
        Exit status: 0, 1 when file and model differ, 2 when something does not fit.
    """
    args = parse_args(argv)
    MMLogger.get_current_instance().setLevel('WARNING')
    try:
        run(args)
    except DifferenceError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except (CheckpointError, ExportError, ImportError, OSError, RuntimeError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
