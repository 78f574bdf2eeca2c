"""Time and peak memory of temporal deformable attention: our back ends, mmcv's, the release's loop.

Examples:
    python tools/analysis_tools/benchmark_attention.py
    python tools/analysis_tools/benchmark_attention.py --workloads demo --rounds 9 --json out.json
    python tools/analysis_tools/benchmark_attention.py --device cuda --dtype bfloat16

What runs:
    cpu, gather, triton, reference   back ends of `mmdevis.ops`
    mmcv        mmcv's function (CPU: PyTorch, CUDA: its operator) called once over T*L levels
    mmcv-loop   the same called as the official release does: for each frame once for the current
                samples and once for the temporal ones, on a gathered copy of the other frames

Rounds are interleaved (every implementation once per round), so that whatever else loads the
machine hits all of them alike. Times are medians; ratios are medians of the ratios within a round.
Peak memory is measured apart, in a fresh process per entry: how far the process (CUDA: the
allocator) rose above what it held before the call, the gradients' own memory included. Saved
memory is what the forward pass keeps for the backward pass beyond its inputs and parameters.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor

from mmdevis.testing.measuring import (
    environment,
    median_ratio,
    peak_bytes,
    saved_bytes,
    time_in_turns,
    worker_output,
    write_json,
)

BASELINE = 'mmcv'


@dataclass(frozen=True)
class Workload:
    """Sizes of one call; `queries` None means one query per token, as in the encoder."""

    frames: int
    batch: int
    shapes: tuple[tuple[int, int], ...]
    heads: int
    channels: int
    points: int = 4
    temporal_points: int = 4
    queries: int | None = None
    reference_size: int = 2

    @property
    def tokens(self) -> int:
        """Tokens per frame."""
        return sum(h * w for h, w in self.shapes)


# Levels of stride 8 to 64 of a 360 x 640 frame: 4,820 tokens.
_LEVELS = ((45, 80), (23, 40), (12, 20), (6, 10))
WORKLOADS = {
    'encoder': Workload(6, 1, _LEVELS, 8, 32),
    'decoder': Workload(6, 1, _LEVELS, 8, 32, queries=10, reference_size=4),
    'demo': Workload(4, 4, ((12, 20), (6, 10), (3, 5)), 8, 16),
}


@cache
def make_arguments(work: Workload, device: str, dtype: torch.dtype) -> tuple:
    """Arguments of the op: references on the grid of tokens, offsets of a few pixels.

    All implementations share them: mmcv's function alone takes up to 10 GB at encoder size.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator).to(device, dtype)

    queries = work.queries or work.tokens
    lead = (work.batch, work.frames, queries, work.heads)
    levels = len(work.shapes)
    if work.queries is None:
        points = [
            torch.cartesian_prod((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w)
            for h, w in work.shapes
        ]
        reference = torch.cat(points).flip(-1).view(1, 1, queries, 1, 2)
    else:
        reference = torch.rand(1, 1, queries, 1, work.reference_size, generator=generator)
    reference = reference.expand(*lead[:3], levels, -1).contiguous().to(device)
    here = (levels, work.points)
    there = (work.frames - 1, levels, work.temporal_points)
    return (
        normal(work.batch, work.frames, work.tokens, work.heads, work.channels),
        work.shapes,
        reference,
        normal(*lead, *here, 2) * 2,
        normal(*lead, *here),
        normal(*lead, *there, 2) * 2,
        normal(*lead, *there),
    )


def make_call(
    what: str, name: str, work: Workload, device: str, dtype: torch.dtype
) -> tuple[Callable[[], Tensor], list[Tensor]]:
    """A function that runs the op or the layer, and the tensors that get gradients."""
    from mmdevis.ops import temporal_deform_attn
    from mmdevis.testing.release_loop import per_frame_attention

    arguments = make_arguments(work, device, dtype)
    aware = work.queries is not None
    if what == 'op':
        attend = per_frame_attention if name == 'mmcv-loop' else temporal_deform_attn
        backend = None if name == 'mmcv-loop' else name
        leaves = [arguments[0], *arguments[3:]]
        return lambda: attend(*arguments, instance_aware=aware, backend=backend), leaves

    from mmdevis.models.layers import TemporalMultiScaleDeformableAttention
    from mmdevis.testing.release_loop import release_loop

    torch.manual_seed(0)
    width = work.heads * work.channels
    layer = TemporalMultiScaleDeformableAttention(
        embed_dims=width,
        num_heads=work.heads,
        num_levels=len(work.shapes),
        num_points=work.points,
        num_frames=work.frames,
        num_temporal_points=work.temporal_points,
        instance_aware=aware,
        dropout=0.0,
        backend=None if name == 'mmcv-loop' else name,
    ).to(device, dtype)
    reference = arguments[2].flatten(1, 2)
    query = torch.randn(work.batch, reference.shape[1], width).to(device, dtype)
    value = torch.randn(work.batch, work.frames * work.tokens, width).to(device, dtype)

    def run() -> Tensor:
        keywords = dict(reference_points=reference, spatial_shapes=work.shapes)
        if name != 'mmcv-loop':
            return layer(query, value=value, **keywords)
        with release_loop():
            return layer(query, value=value, **keywords)

    return run, [query, value, *layer.parameters()]


def run_once(run: Callable[[], Tensor], leaves: list[Tensor], backward: bool) -> None:
    """One forward, or forward and backward, pass."""
    for leaf in leaves:
        leaf.requires_grad_(backward)
        leaf.grad = None
    with torch.set_grad_enabled(backward):
        output = run()
        if backward:
            output.backward(torch.ones_like(output))


def peak_memory(
    what: str, name: str, work: Workload, device: str, dtype: str, backward: bool
) -> int:
    """Bytes above what the process held before the call. Run in a fresh process."""
    run, leaves = make_call(what, name, work, device, getattr(torch, dtype))
    # Libraries, thread pools, compiled kernels. No size that is measured: workloads share their
    # tensors, and gradients from here would then be missing from the peak.
    other = replace(WORKLOADS['demo'], batch=1)
    small, small_leaves = make_call(what, name, other, device, getattr(torch, dtype))
    run_once(small, small_leaves, backward)
    del small, small_leaves
    return peak_bytes(lambda: run_once(run, leaves, backward), device)


def measure_memory(what: str, name: str, work: str, args: argparse.Namespace) -> list[float | str]:
    """Peak MiB forward, and forward with backward, each in its own process."""
    results: list[float | str] = []
    for backward in (0, 1):
        worker = json.dumps([what, name, work, args.device, args.dtype, backward])
        output = worker_output([__file__, '--threads', str(args.threads), '--worker', worker])
        results.append('failed' if output is None else int(output) / 2**20)
    return results


def saved_memory(what: str, name: str, work: Workload, device: str, dtype: torch.dtype) -> float:
    """MiB that one forward pass keeps for its backward pass."""
    run, leaves = make_call(what, name, work, device, dtype)
    for leaf in leaves:
        leaf.requires_grad_()
    given = [*leaves, *(a for a in make_arguments(work, device, dtype) if torch.is_tensor(a))]
    return saved_bytes(run, given) / 2**20


def compare(what: str, work_name: str, names: list[str], args: argparse.Namespace) -> list[dict]:
    """One row per implementation."""
    work, dtype = WORKLOADS[work_name], getattr(torch, args.dtype)
    calls = {name: make_call(what, name, work, args.device, dtype) for name in names}
    with torch.no_grad():
        outputs = {name: run().float() for name, (run, _) in calls.items()}
    errors = {n: (o - outputs[BASELINE]).abs().max().item() for n, o in outputs.items()}
    del outputs
    passes = {
        (name, backward): partial(run_once, run, leaves, backward)
        for backward in (False, True)
        for name, (run, leaves) in calls.items()
    }
    times = time_in_turns(passes, args.rounds, args.device)
    calls.clear()
    rows = []
    for name in names:
        row: dict = {'what': what, 'workload': work_name, 'name': name}
        for key, i in (('forward', False), ('forward_backward', True)):
            own, base = times[name, i], times[BASELINE, i]
            row[f'{key}_ms'] = statistics.median(own) * 1e3
            row[f'{key}_speedup'] = median_ratio(base, own)
            row[f'{key}_all_ms'] = [seconds * 1e3 for seconds in own]
        if not args.no_memory:
            memory = measure_memory(what, name, work_name, args)
            row['forward_peak_mib'], row['forward_backward_peak_mib'] = memory
            row['saved_mib'] = saved_memory(what, name, work, args.device, dtype)
        row['max_abs_difference'] = errors[name]
        rows.append(row)
    return rows


def print_table(rows: list[dict]) -> None:
    """Markdown, so that it can be pasted into docs/benchmarks."""
    print(f'\n| {rows[0]["what"]}, {rows[0]["workload"]} | fwd ms | x | fwd+bwd ms | x | '
          'peak fwd MiB | peak fwd+bwd MiB | saved MiB | max diff |')  # fmt: skip
    print('|---|' + '---:|' * 8)
    for row in rows:
        keys = ('forward_peak_mib', 'forward_backward_peak_mib', 'saved_mib')
        memory = [row.get(key, '-') for key in keys]
        cells = [f'{m:.0f}' if isinstance(m, float) else m for m in memory]
        print(
            f'| {row["name"]} | {row["forward_ms"]:.1f} | {row["forward_speedup"]:.2f} | '
            f'{row["forward_backward_ms"]:.1f} | {row["forward_backward_speedup"]:.2f} | '
            f'{" | ".join(cells)} | {row["max_abs_difference"]:.1e} |'
        )


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--dtype', choices=['float32', 'bfloat16', 'float16'], default='float32')
    parser.add_argument('--workloads', nargs='+', choices=WORKLOADS, default=['encoder', 'demo'])
    parser.add_argument('--what', nargs='+', choices=['op', 'layer'], default=['op', 'layer'])
    parser.add_argument('--names', nargs='+', help='implementations; default: all that run here')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--no-memory', action='store_true')
    parser.add_argument('--json', type=Path, help='also write everything measured to this file')
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    if args.worker:
        what, name, work, device, dtype, backward = json.loads(args.worker)
        print(peak_memory(what, name, WORKLOADS[work], device, dtype, bool(backward)))
        return
    from mmdevis.ops import available_backends

    names = [n for n, reason in available_backends(args.device).items() if reason is None]
    names = [n for n in (*names, 'mmcv-loop') if not args.names or n in {*args.names, BASELINE}]
    workloads = {name: asdict(WORKLOADS[name]) for name in args.workloads}
    result: dict = {'environment': {**environment(args.device), 'workloads': workloads}, 'rows': []}
    for work in args.workloads:
        for what in args.what:
            rows = compare(what, work, names, args)
            print_table(rows)
            result['rows'] += rows
    print(f'\nx: times as fast as {BASELINE}, same round. {json.dumps(result["environment"])}')
    if args.json:
        write_json(args.json, result)


if __name__ == '__main__':
    main()
