"""Time the tracker's cost matrix against a loop over pairs, in one run on the same masks.

Prints a table and, with `--json FILE`, writes it:

    python tools/analysis_tools/benchmark_tracker.py --tracks 50 --frames 2 --size 720 1280
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from mmdevis.datasets.converters import write_json
from mmdevis.models.trackers import ClipCost, MultiCueClipTracker
from mmdevis.models.trackers.observations import Observations
from mmdevis.structures import ClipPrediction

T = TypeVar('T')


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--tracks', type=int, default=50, help='tracks, and instances of a clip')
    parser.add_argument('--frames', type=int, default=2, help='frames that clips share')
    parser.add_argument('--size', type=int, nargs=2, default=(720, 1280), metavar=('H', 'W'))
    parser.add_argument('--num-frames', type=int, default=6, help='frames per clip')
    parser.add_argument('--repeat', type=int, default=3, help='runs, of which the fastest counts')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, help="torch's CPU threads")
    parser.add_argument('--json', type=Path, help='also write the figures to this file')
    return parser.parse_args(argv)


def random_observations(num: int, length: int, size: tuple[int, int], device: str) -> Observations:
    """``num`` instances with dense soft masks in ``length`` frames."""
    return Observations(
        frames=list(range(length)),
        valid=torch.ones(num, length, dtype=torch.bool),
        scores=torch.rand(num, length),
        labels=torch.randint(0, 5, (num, length)),
        centers=torch.rand(num, length, 2),
        rows=torch.arange(num)[:, None].expand(num, length),
        masks=torch.rand(length, num, *size, device=device),
    )


def pairwise_loop(tracks: Observations, instances: Observations) -> Tensor:
    """The cost with weights 1, 1, 1, 0, one pair after the other.

    Args:
        tracks (Observations): N tracks in F frames, one mask row each.
        instances (Observations): K instances in the same frames, one mask row each.

    Returns:
        Tensor: (N, K) cost.
    """
    # One contiguous block per instance, the best layout for this loop.
    track_masks = tracks.masks.transpose(0, 1).contiguous()
    instance_masks = instances.masks.transpose(0, 1).contiguous()
    cost = torch.zeros(len(tracks), len(instances))
    for i in range(len(tracks)):
        for j in range(len(instances)):
            a, b = track_masks[i], instance_masks[j]
            product = a * b
            iou = product.sum() / (a + b - product).sum()
            same = (tracks.labels[i] == instances.labels[j]).float().mean()
            difference = (tracks.scores[i] - instances.scores[j]).abs().mean()
            cost[i, j] = -iou.cpu() - same + difference
    return cost


def time_costs(args: argparse.Namespace, size: tuple[int, int]) -> dict[str, float]:
    """Both ways of computing the costs, timed and compared."""
    tracks = random_observations(args.tracks, args.frames, size, args.device)
    instances = random_observations(args.tracks, args.frames, size, args.device)
    fast, all_pairs = best_time(lambda: ClipCost()(tracks, instances)[0], args.repeat, args.device)
    slow, loop = best_time(lambda: pairwise_loop(tracks, instances), 1, args.device)
    return {
        'pairwise_loop_s': slow,
        'all_pairs_s': fast,
        'speedup': slow / fast,
        'max_difference': float((all_pairs - loop).abs().max()),
    }


def best_time(function: Callable[[], T], repeat: int, device: str) -> tuple[float, T]:
    """Seconds of the fastest of ``repeat`` runs, and what the last one returned."""
    times = []
    for _ in range(repeat):
        if device.startswith('cuda'):
            torch.cuda.synchronize()
        start = time.perf_counter()
        result = function()
        if device.startswith('cuda'):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times), result


def clip_update_time(args: argparse.Namespace) -> float:
    """Seconds of one whole tracker update (matching, merging, encoding) in a running video."""
    length, stride = args.num_frames, args.num_frames - args.frames

    def clip(start: int) -> ClipPrediction:
        return ClipPrediction(
            frame_indices=torch.arange(start, start + length),
            scores=torch.rand(args.tracks, length),
            labels=torch.randint(0, 5, (args.tracks,)),
            masks=discs(args.tracks, length, args.size, args.device),
            centers=torch.rand(args.tracks, length, 2),
        )

    tracker = MultiCueClipTracker()
    tracker.update(clip(0), stride)
    second = clip(stride)
    return best_time(lambda: tracker.update(second, 2 * stride), 1, args.device)[0]


def discs(num: int, length: int, size: tuple[int, int], device: str) -> Tensor:
    """(num, length, H, W) soft masks, a disc each: run-length masks of noise would be unreal."""
    rows = torch.arange(size[0], device=device)[:, None]
    columns = torch.arange(size[1], device=device)
    masks = torch.empty(num, length, *size, device=device)
    for index in range(num):
        y, x = (int(torch.randint(0, n, ())) for n in size)
        distance = ((rows - y) ** 2 + (columns - x) ** 2).sqrt()
        masks[index] = (min(size) / 8 - distance).sigmoid()
    return masks


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    args = parse_args(argv)
    if not 1 <= args.frames < args.num_frames:
        raise SystemExit(f'--frames must be in 1..{args.num_frames - 1} (--num-frames less one)')
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    size = tuple(args.size)
    timing = time_costs(args, size)
    result = {
        'tracks': args.tracks,
        'frames': args.frames,
        'size': list(size),
        'device': args.device,
        'threads': torch.get_num_threads(),
        **timing,
        'whole_update_s': clip_update_time(args),
    }
    print(
        f'{args.tracks} x {args.tracks} tracks, {args.frames} frames of {size[0]} x {size[1]}, '
        f'{args.device}, {result["threads"]} threads'
    )
    for name, label in (
        ('pairwise_loop_s', 'cost, loop over pairs'),
        ('all_pairs_s', 'cost, all pairs at once'),
        ('whole_update_s', f'whole update, clip of {args.num_frames} frames'),
    ):
        print(f'{label:<36}{1e3 * result[name]:>12.1f} ms')
    print(f'{"speed-up":<36}{result["speedup"]:>12.1f} x')
    print(f'{"largest difference of costs":<36}{result["max_difference"]:>12.1e}')
    if args.json:
        write_json(result, args.json)


if __name__ == '__main__':
    main()
