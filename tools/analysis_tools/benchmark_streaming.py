"""Measure whether a stream's memory and time per frame stay the same as the video gets longer.

Each length runs in a process of its own, with a small untrained model and pictures of noise; the
time of the last frames of the longest video is taken in turns with that of the first ones. Prints
the figures and, with `--json FILE`, writes them:

    python tools/analysis_tools/benchmark_streaming.py --frames 200 2000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
        help='frames at both ends whose time counts',
    )
    parser.add_argument('--config', default='devis_r18_1xb4-demo_synthvis', help='file or name')
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
    parser.add_argument('--worker', nargs=2, help=argparse.SUPPRESS)
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


def build(args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The inferencer, with random weights, and the options of its streams."""
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
    options = dict(
        stride=args.stride,
        latency=args.latency,
        batch_size=args.batch_size,
        max_missing=args.max_missing,
        keep_masks=not args.no_masks,
    )
    return inferencer, options


def measure_memory(length: int, args: argparse.Namespace) -> dict[str, int]:
    """Stream one video in this process; returns its peak resident memory."""
    inferencer, options = build(args)
    for _ in inferencer.stream(noise(length, args.size), **options):
        pass
    return {'frames': length, 'peak_bytes': peak_resident_bytes()}


def measure_time(length: int, args: argparse.Namespace) -> dict[str, float]:
    """Time the last frames of a long video and the first ones of another, in turns.

    In turns, because on a machine with other work to do two times that are minutes apart cannot be
    compared.

    Returns:
        Seconds per frame at both ends: wall clock, and CPU time of the thread that runs the model.
    """
    inferencer, options = build(args)
    skip = 4 * inferencer.model.num_frames  # warming up; and the end, where a clip comes at once
    streams = {
        end: inferencer.stream(noise(length, args.size), **options) for end in ('first', 'last')
    }
    for end, count in (('last', length - args.timed - skip), ('first', skip)):
        for _ in range(count):
            next(streams[end])
    total = dict.fromkeys(['first_wall_s', 'last_wall_s', 'first_cpu_s', 'last_cpu_s'], 0.0)
    for _ in range(args.timed):
        for end, stream in streams.items():
            wall, cpu = time.perf_counter(), time.thread_time()
            next(stream)
            total[f'{end}_wall_s'] += time.perf_counter() - wall
            total[f'{end}_cpu_s'] += time.thread_time() - cpu
    for stream in streams.values():
        stream.close()
    return {'frames': length} | {key: value / args.timed for key, value in total.items()}


WORK = {'memory': measure_memory, 'time': measure_time}


def run_worker(work: str, length: int, argv: Sequence[str]) -> dict[str, float]:
    """Measure in a new process."""
    command = [sys.executable, str(Path(__file__).resolve()), *argv, '--worker', work, str(length)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f'{" ".join(command)} failed:\n{done.stderr}')
    return json.loads(done.stdout.splitlines()[-1])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = build_parser().parse_args(argv)
    if args.worker is not None:
        from mmdevis.utils.allocator import keep_freed_memory

        keep_freed_memory()  # as mmdevis-video does
        work, length = args.worker
        print(json.dumps(WORK[work](int(length), args)))
        return 0
    memory = [run_worker('memory', length, argv) for length in sorted(args.frames)]
    growth = memory[-1]['peak_bytes'] / memory[0]['peak_bytes'] - 1
    for run in memory:
        print(f'{run["frames"]:>8} frames: peak {run["peak_bytes"] / MEBIBYTE:8.1f} MiB')
    print(f'growth of the peak: {100 * growth:+.2f} %')
    timing = run_worker('time', max(args.frames), argv)
    result = {'memory': memory, 'peak_growth': growth, 'time': timing}
    for clock in ('wall', 'cpu'):
        first, last = (timing[f'{end}_{clock}_s'] for end in ('first', 'last'))
        result[f'{clock}_ratio'] = last / first
        print(
            f'{clock} time per frame, first and last {args.timed} of {max(args.frames)}: '
            f'{1e3 * first:.2f} and {1e3 * last:.2f} ms, ratio {last / first:.3f}'
        )
    if args.json:
        from mmdevis.datasets.converters import write_json

        write_json(result, args.json)
    return 0


if __name__ == '__main__':
    sys.exit(main())
