"""Measure whether a stream's memory and time per frame stay the same as the video gets longer.

Each length runs in a process of its own, with a small untrained model and pictures of noise. Prints
a table and, with `--json FILE`, writes it:

    python tools/analysis_tools/benchmark_streaming.py --frames 200 2000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

# Nothing heavy is imported above: this process only starts others and waits for them.

MEBIBYTE = 2**20


def build_parser() -> argparse.ArgumentParser:
    """Parser of the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--frames', type=int, nargs='+', default=[200, 2000], help='lengths of the videos'
    )
    parser.add_argument(
        '--timed',
        type=int,
        default=200,
        help='frames at both ends of the longest whose time counts',
    )
    parser.add_argument('--config', default='devis_r18_1xb2-demo_synthvis', help='file or name')
    parser.add_argument('--full', action='store_true', help='the model as it is, not reduced')
    parser.add_argument('--size', type=int, nargs=2, default=(48, 64), metavar=('H', 'W'))
    parser.add_argument('--stride', type=int, help="frames between clips; default: the config's")
    parser.add_argument('--latency', choices=('exact', 'low'), default='exact')
    parser.add_argument('--batch-size', type=int, default=1, help='clips per forward pass')
    parser.add_argument('--max-missing', type=int, help='forget tracks unseen for so many frames')
    parser.add_argument('--no-masks', action='store_true', help="do not keep the tracks' masks")
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=1, help="torch's CPU threads")
    parser.add_argument('--json', type=Path, help='also write the figures to this file')
    parser.add_argument('--worker', type=int, help=argparse.SUPPRESS)
    return parser


def noise(length: int, size: Sequence[int]) -> Iterator[np.ndarray]:
    """``length`` uint8 frames (H, W, 3), never two the same."""
    rng = np.random.default_rng(0)
    for _ in range(length):
        yield rng.integers(0, 256, (*size, 3), dtype=np.uint8)


def peak_resident_bytes() -> int:
    """Highest resident memory of this process so far (Linux)."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('VmHWM:'):
            return int(line.split()[1]) * 1024
    raise RuntimeError('/proc/self/status has no VmHWM; this benchmark needs Linux')


def measure(length: int, args: argparse.Namespace) -> dict[str, float]:
    """Stream one video in this process.

    Returns:
        Peak resident memory in bytes, and the time that each of the timed frames took at the
        beginning and at the end, in seconds: wall clock, and CPU time of this process (which other
        programs on the machine disturb less).
    """
    import warnings

    import torch
    from mmengine.config import Config
    from mmengine.logging import MMLogger

    from mmdevis.apis.config_names import find_config
    from mmdevis.apis.vis_inferencer import VISInferencer
    from mmdevis.testing import reduce_model

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    MMLogger.get_current_instance().setLevel('WARNING')
    cfg = Config.fromfile(find_config(args.config))
    if not args.full:
        cfg.model = reduce_model(cfg.model)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='no weights are given')
        inferencer = VISInferencer(cfg, device=args.device)
    marks = [(time.perf_counter(), time.process_time())]
    for _ in inferencer.stream(
        noise(length, args.size),
        stride=args.stride,
        latency=args.latency,
        batch_size=args.batch_size,
        max_missing=args.max_missing,
        keep_masks=not args.no_masks,
    ):
        marks.append((time.perf_counter(), time.process_time()))
    result = {'frames': length, 'peak_bytes': peak_resident_bytes()}
    # The first frames warm up, and the last clip comes at once with the end of the video.
    skip = 4 * inferencer.model.num_frames
    first, last = marks[skip : skip + args.timed + 1], marks[-skip - args.timed : -skip + 1]
    if len(first) == args.timed + 1 and length >= 2 * (args.timed + skip):
        for column, clock in enumerate(('wall', 'cpu')):
            result[f'first_{clock}_s'] = (first[-1][column] - first[0][column]) / args.timed
            result[f'last_{clock}_s'] = (last[-1][column] - last[0][column]) / args.timed
    return result


def run_worker(length: int, argv: Sequence[str]) -> dict[str, float]:
    """Measure in a new process."""
    command = [sys.executable, str(Path(__file__).resolve()), *argv, '--worker', str(length)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f'{" ".join(command)} failed:\n{done.stderr}')
    return json.loads(done.stdout.splitlines()[-1])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = build_parser().parse_args(argv)
    if args.worker is not None:
        print(json.dumps(measure(args.worker, args)))
        return 0
    runs = [run_worker(length, argv) for length in sorted(args.frames)]
    growth = runs[-1]['peak_bytes'] / runs[0]['peak_bytes'] - 1
    for run in runs:
        print(f'{run["frames"]:>8} frames: peak {run["peak_bytes"] / MEBIBYTE:8.1f} MiB')
    print(f'growth of the peak: {100 * growth:+.2f} %')
    result = {'runs': runs, 'peak_growth': growth}
    for clock in ('wall', 'cpu'):
        if f'first_{clock}_s' in runs[-1]:
            first, last = (runs[-1][f'{end}_{clock}_s'] for end in ('first', 'last'))
            result[f'{clock}_ratio'] = last / first
            print(
                f'{clock} time per frame, first and last {args.timed}: {1e3 * first:.2f} and '
                f'{1e3 * last:.2f} ms, ratio {last / first:.3f}'
            )
    if args.json:
        from mmdevis.datasets.converters import write_json

        write_json(result, args.json)
    return 0


if __name__ == '__main__':
    sys.exit(main())
