"""Speed of the modulated deformable convolution on a CPU, next to mmcv's operator.

Forward and backward passes of the layers of the mask head, at the sizes of the demo's training and
of the full model. The implementations take turns within each round, so that other load on the
machine meets all of them; medians over the rounds are shown. Nothing is loaded or downloaded.

    python tools/analysis_tools/benchmark_modulated_deform_conv.py --threads 1
    python tools/analysis_tools/benchmark_modulated_deform_conv.py --workloads full --forward-only
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmcv.ops import modulated_deform_conv2d
from torch import Tensor

from mmdevis.ops.modulated_deform_conv import modulated_deform_conv
from mmdevis.ops.modulated_deform_conv_by_sampling import modulated_deform_conv_by_sampling
from mmdevis.testing.measuring import environment, write_json

# Input channels, height, width, output channels of the layers of the mask head, in order.
WORKLOADS = {
    'demo': (
        (136, 3, 5, 136), (136, 3, 5, 64), (72, 6, 10, 32), (40, 12, 20, 16), (16, 24, 40, 8),
        (8, 24, 40, 1),
    ),
    'full': (
        (264, 12, 20, 264), (264, 12, 20, 128), (136, 23, 40, 64), (72, 45, 80, 32),
        (32, 90, 160, 16), (16, 90, 160, 1),
    ),
}  # fmt: skip
# Instances times frames.
COUNTS = {'demo': 18, 'full': 120}
BASELINE = 'mmcv'


def make_calls(layer: tuple[int, int, int, int], count: int) -> tuple[dict, list[Tensor]]:
    """Implementations by name, and the tensors that get gradients."""
    channels, height, width, out_channels = layer
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    x, offset = normal(count, channels, height, width), normal(count, 18, height, width)
    mask, weight = normal(count, 9, height, width).sigmoid(), normal(out_channels, channels, 3, 3)
    leaves = [x, offset, mask, weight]
    calls: dict[str, Callable[[], Tensor]] = {
        BASELINE: lambda: modulated_deform_conv2d(*leaves, None, 1, 1, 1, 1, 1),
        'kernel': lambda: modulated_deform_conv(*leaves, padding=1),
        'sampling': lambda: modulated_deform_conv_by_sampling(*leaves),
    }
    return calls, leaves


def time_once(
    call: Callable[[], Tensor], leaves: list[Tensor], backward: bool
) -> tuple[float, float]:
    """Milliseconds of the forward and of the backward pass (0 if not wanted)."""
    for leaf in leaves:
        leaf.requires_grad_(backward)
        leaf.grad = None
    start = time.perf_counter()
    output = call()
    between = time.perf_counter()
    if backward:
        output.backward(torch.ones_like(output))
    end = time.perf_counter()
    return (between - start) * 1e3, (end - between) * 1e3 if backward else 0.0


def compare(layer: tuple[int, int, int, int], args: argparse.Namespace, count: int) -> list[dict]:
    """One row per implementation."""
    calls, leaves = make_calls(layer, count)
    calls = {name: call for name, call in calls.items() if name in {*args.names, BASELINE}}
    with torch.no_grad():
        wanted = calls[BASELINE]()
        errors = {name: (call() - wanted).abs().max().item() for name, call in calls.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(args.rounds):
        for name, call in calls.items():
            times[name].append(time_once(call, leaves, not args.forward_only))
    rows = []
    for name in calls:
        forward, backward = zip(*times[name])
        rows.append(
            {
                'layer': layer,
                'count': count,
                'name': name,
                'forward_ms': statistics.median(forward),
                'backward_ms': statistics.median(backward),
                'all_ms': times[name],
                'max_abs_difference': errors[name],
            }
        )
    return rows


def print_table(rows: list[dict]) -> None:
    """Markdown, so that it can be pasted into docs/benchmarks."""
    print('\n| C, H, W, D | N | | forward ms | x | backward ms | x | max diff |')
    print('|---|---:|---|---:|---:|---:|---:|---:|')
    base: dict = {}
    for row in rows:
        base = row if row['name'] == BASELINE else base
        cells = []
        for key in ('forward_ms', 'backward_ms'):
            ratio = f'{base[key] / row[key]:.1f}' if row[key] else '-'
            cells.append(f'{row[key]:.2f} | {ratio}')
        print(
            f'| {", ".join(map(str, row["layer"]))} | {row["count"]} | {row["name"]} | {cells[0]} '
            f'| {cells[1]} | {row["max_abs_difference"]:.0e} |'
        )


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--workloads', nargs='+', choices=WORKLOADS, default=['demo'])
    parser.add_argument('--names', nargs='+', default=['kernel', 'sampling'], metavar='NAME')
    parser.add_argument('--count', type=int, help='samples; default 18 (demo) or 120 (full)')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--forward-only', action='store_true', help='without gradients')
    parser.add_argument('--json', type=Path, help='also write everything measured to this file')
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for work in args.workloads:
        for layer in WORKLOADS[work]:
            rows += compare(layer, args, args.count or COUNTS[work])
            print(f'{work} {layer} done', file=sys.stderr)
    print_table(rows)
    result = {'environment': environment(), 'rows': rows}
    print(f'\nx: times as fast as {BASELINE}. {json.dumps(result["environment"])}')
    if args.json:
        write_json(args.json, result)


if __name__ == '__main__':
    main()
