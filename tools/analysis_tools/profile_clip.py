"""Where the time and memory of a clip go, and how far that is from the machine's limits.

Examples:
    python tools/analysis_tools/profile_clip.py --picture profile.png --json profile.json
    python tools/analysis_tools/profile_clip.py --device cuda --dtype bfloat16

Weights are random. Times of parts are medians over the rounds.
Kinds of operators are from one profile, the operator's own time. The matrix rate is that of a
large product on this machine with this number of threads, the bandwidth that of a large copy.
Peak memory is what a part needs above what lives when it starts, measured in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from mmdevis.testing.measuring import (
    environment,
    peak_bytes,
    time_call,
    worker_output,
    write_json,
)
from mmdevis.testing.operations import bandwidth, count_flops, matrix_rate
from mmdevis.testing.whole_models import make_runner
from mmdevis.utils.allocator import keep_freed_memory
from mmdevis.visualization.figure_files import new_figure, save_figure

#: Submodule of the detector, and the method whose calls are the part.
PARTS = {
    'backbone': ('', '_run_backbone'),
    'neck': ('neck', 'forward'),
    'encoder': ('', 'forward_encoder'),
    'decoder': ('', 'forward_decoder'),
    'mask head': ('bbox_head.mask_head', 'forward'),
}
REST = 'all else'

#: Kinds of operators by what their names contain; the first that fits counts.
KINDS = {
    'sampling of the attention': ('temporal_deform_attn',),
    'deformable convolutions': ('deform_conv',),
    'convolutions': ('conv',),
    'matrix products': ('addmm', '::mm', 'bmm', 'gemm', 'linear'),
    'normalisation': ('batch_norm', 'layer_norm', 'group_norm'),
    'resizing': ('upsample', 'grid_sampl'),
    'copies': ('copy_', 'cat', 'clone', 'fill_', 'zero_', 'index', 'gather', 'memcpy', 'memset'),
}
OTHERS = 'other operators'


@contextlib.contextmanager
def watched(model: nn.Module, around: Callable[[str, Callable], object]) -> Iterator[None]:
    """Send the calls of every part through ``around(part, call)``.

    Forward hooks would not do: with them the model stops working in pieces.
    """
    owners = []
    for part, (path, method) in PARTS.items():
        owner = model.get_submodule(path)
        original = getattr(owner, method)

        def replaced(*args, _part: str = part, _original: Callable = original, **kwargs) -> object:
            return around(_part, lambda: _original(*args, **kwargs))

        setattr(owner, method, replaced)
        owners.append((owner, method))
    try:
        yield
    finally:
        for owner, method in owners:
            delattr(owner, method)


def seconds_of_parts(model: nn.Module, call: Callable[[], object], device: str) -> dict[str, float]:
    """Seconds of one clip by part."""
    seconds: dict[str, float] = defaultdict(float)

    def timed(part: str, run: Callable) -> object:
        results = []
        seconds[part] += time_call(lambda: results.append(run()), device)
        return results[0]

    with watched(model, timed):
        total = time_call(call, device)
    seconds[REST] = total - sum(seconds.values())
    return dict(seconds)


def flops_of_parts(model: nn.Module, call: Callable[[], object]) -> dict[str, int]:
    """Operations of one clip by part."""
    flops: dict[str, int] = defaultdict(int)

    def counted(part: str, run: Callable) -> object:
        results = []
        flops[part] += count_flops(lambda: results.append(run()))
        return results[0]

    with watched(model, counted):
        call()
    flops[REST] = count_flops(call) - sum(flops.values())
    return dict(flops)


def bytes_of_parts(model: nn.Module, call: Callable[[], object], device: str) -> dict[str, int]:
    """Peak memory of each part above what lives when it starts."""
    peaks: dict[str, int] = defaultdict(int)

    def measured(part: str, run: Callable) -> object:
        results = []
        peaks[part] = max(peaks[part], peak_bytes(lambda: results.append(run()), device))
        return results[0]

    with watched(model, measured):
        call()
    return dict(peaks)


def kind_of(operator: str) -> str:
    """Kind of an operator or kernel by its name."""
    fits = (kind for kind, names in KINDS.items() if any(name in operator for name in names))
    return next(fits, OTHERS)


def seconds_of_kinds(call: Callable[[], object], device: str) -> dict[str, float]:
    """Seconds of one clip by kind of operator, in order of the time."""
    on_gpu = device == 'cuda'
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as found:
        call()
    seconds: dict[str, float] = defaultdict(float)
    for event in found.key_averages():
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        seconds[kind_of(event.key)] += own / 1e6
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def draw(parts: list[dict], kinds: Mapping[str, float], path: Path) -> None:
    """Bars of both tables."""
    figure = new_figure((9, 4))
    panels = figure.subplots(1, 2)
    bars = (
        (panels[0], 'by part', {row['part']: row['seconds'] for row in parts}),
        (panels[1], 'by kind of operator', kinds),
    )
    for axes, title, values in bars:
        total = sum(values.values())
        names, heights = list(values), list(values.values())
        drawn = axes.barh(names, heights, color='tab:blue')
        axes.bar_label(drawn, [f' {100 * value / total:.0f} %' for value in heights], fontsize=8)
        axes.set(title=title, xlabel='seconds', xlim=(0, 1.15 * max(heights)))
        axes.invert_yaxis()
    save_figure(figure, path)


def print_table(rows: list[dict]) -> None:
    """Markdown, so that it can be pasted into the documentation."""
    print('\n| ' + ' | '.join(rows[0]) + ' |\n|---|' + '---:|' * (len(rows[0]) - 1))
    for row in rows:
        cells = (f'{c:.4g}' if isinstance(c, float) else str(c) for c in row.values())
        print('| ' + ' | '.join(cells) + ' |')


def prepare(args: argparse.Namespace) -> tuple[nn.Module, Callable[[], object]]:
    """The model and one clip of it, masks at the original size."""
    runner = make_runner(
        'devis', tuple(args.size), tuple(args.original_size), args.num_frames, device=args.device
    )
    runner.model.requires_grad_(False)

    def clip() -> object:
        autocast = contextlib.nullcontext()
        if args.dtype != 'float32':
            autocast = torch.autocast(args.device, getattr(torch, args.dtype))
        with torch.inference_mode(), autocast:
            return runner.clip()

    return runner.model, clip


def measure(args: argparse.Namespace) -> dict:
    """Everything that is printed and written."""
    model, clip = prepare(args)
    clip()
    rounds = [seconds_of_parts(model, clip, args.device) for _ in range(args.rounds)]
    seconds = {part: statistics.median(r[part] for r in rounds) for part in (*PARTS, REST)}
    flops = flops_of_parts(model, clip)
    keep = {**vars(args), 'json': None, 'picture': None}
    output = worker_output([__file__, '--worker', json.dumps(keep)])
    peaks = {} if output is None else json.loads(output)
    rate = matrix_rate(args.device, getattr(torch, args.dtype))
    total = sum(seconds.values())
    parts = [
        {
            'part': part,
            'seconds': seconds[part],
            'share': f'{100 * seconds[part] / total:.0f} %',
            'Gflop': flops[part] / 1e9,
            'of the matrix rate': f'{100 * flops[part] / seconds[part] / rate:.0f} %',
            'peak MiB': peaks[part] / 2**20 if part in peaks else '',
        }
        for part in (*PARTS, REST)
    ]
    return {
        'parts': parts,
        'kinds': seconds_of_kinds(clip, args.device),
        'seconds': total,
        'gflop': sum(flops.values()) / 1e9,
        'matrix_gflop_per_second': rate / 1e9,
        'bandwidth_gb_per_second': bandwidth(args.device) / 1e9,
        'seconds_at_matrix_rate': sum(flops.values()) / rate,
        'environment': environment(args.device),
    }


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--dtype', choices=['float32', 'bfloat16', 'float16'], default='float32')
    parser.add_argument('--size', type=int, nargs=2, default=(360, 640), metavar=('H', 'W'))
    parser.add_argument('--original-size', type=int, nargs=2, default=(720, 1280),
                        metavar=('H', 'W'), help='of the masks')  # fmt: skip
    parser.add_argument('--num-frames', type=int, default=6, help='frames per clip T')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--picture', type=Path, help='also draw the shares into this file')
    parser.add_argument('--json', type=Path, help='also write everything to this file')
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print, draw, write."""
    args = parse_args()
    if args.worker:
        args = argparse.Namespace(**json.loads(args.worker))
        torch.set_num_threads(args.threads)
        model, clip = prepare(args)
        print(json.dumps(bytes_of_parts(model, clip, args.device)))
        return
    keep_freed_memory()  # as the programs do
    torch.set_num_threads(args.threads)
    result = measure(args)
    print_table(result['parts'])
    total = sum(result['kinds'].values())
    print_table(
        [
            {'operators': kind, 'seconds': own, 'share': f'{100 * own / total:.0f} %'}
            for kind, own in result['kinds'].items()
        ]
    )
    numbers = {key: value for key, value in result.items() if isinstance(value, float)}
    print('\n' + '\n'.join(f'{key}: {value:.4g}' for key, value in numbers.items()))
    print(json.dumps(result['environment']))
    if args.picture:
        draw(result['parts'], result['kinds'], args.picture)
    if args.json:
        write_json(args.json, result)


if __name__ == '__main__':
    main()
