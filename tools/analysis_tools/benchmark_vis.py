"""Whole models: DeVIS beside Mask2Former-VIS and MaskTrack R-CNN, ResNet-50, same frames.

Examples:
    python tools/analysis_tools/benchmark_vis.py
    python tools/analysis_tools/benchmark_vis.py --device cuda --dtype bfloat16 --what speed cost
    python tools/analysis_tools/benchmark_vis.py --what growth kernels train --json out.json

What is measured (`--what`):
    speed    seconds of `network` (pixels to masks of one clip at the network's resolution), `clip`
             (the same with masks at the original size) and `video` (with tracking; DeVIS
             near-online: clips of T frames that share two), and frames per second
    cost     peak memory of `clip` above the model's own, parameters, floating-point operations
    train    one step of DeVIS with AMP (`--dtype`), in float32, and in float32 with attention in
             the release's loop over frames: seconds and peak memory
    growth   seconds of DeVIS's `network` over T and over the input's area, and the exponents of
             fits, time ~ T^a and time ~ area^b
    kernels  operators (CPU) or kernels (CUDA) that one clip and one tracker update start

The peers' models come from the configs of the installed MMDetection. All weights are random, so
results mean nothing, but every model does its full work: with random weights MaskTrack R-CNN
keeps the 100 detections per frame that its config allows, and DeVIS all its trajectories.
Everything takes turns within a round; times are medians, ratios medians of the ratios in a round.
Peak memory is measured in a process of its own.
"""

import argparse
import contextlib
import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from mmdet.structures import TrackDataSample
from torch.profiler import ProfilerActivity, profile

from mmdevis.models.trackers import MultiCueClipTracker
from mmdevis.testing.measuring import (
    environment,
    median_ratio,
    peak_bytes,
    time_in_turns,
    worker_output,
    write_json,
)
from mmdevis.testing.operations import count_flops
from mmdevis.testing.random_data import random_clips
from mmdevis.testing.release_loop import release_loop
from mmdevis.testing.whole_models import CONFIGS, Runner, make_runner
from mmdevis.utils.allocator import keep_freed_memory

STEPS = ('network', 'clip', 'video')
OURS = 'devis'


def precision(args: argparse.Namespace) -> contextlib.AbstractContextManager:
    """Autocast, unless the dtype is float32."""
    if args.dtype == 'float32':
        return contextlib.nullcontext()
    return torch.autocast(args.device, getattr(torch, args.dtype))


def build(name: str, args: argparse.Namespace, **sizes) -> Runner:
    """A model with its frames; `sizes` replace those of the command line."""
    settings = dict(
        size=tuple(args.size),
        original_size=tuple(args.original_size),
        clip_length=args.num_frames,
        video_length=args.video_frames,
        device=args.device,
    )
    runner = make_runner(name, **{**settings, **sizes})
    if args.compile:
        runner.compile()
    return runner


def inference(call: Callable[[], object], args: argparse.Namespace) -> Callable[[], object]:
    """The call without gradients, in the precision asked for."""

    def run() -> object:
        with torch.inference_mode(), precision(args):
            return call()

    return run


def measure_speed(args: argparse.Namespace) -> list[dict]:
    """Seconds and frames per second of each step, all models in turns."""
    runners = {name: build(name, args) for name in args.models}
    rows = []
    for step in args.steps:
        calls = {name: inference(getattr(r, step), args) for name, r in runners.items()}
        times = time_in_turns(calls, args.rounds, args.device)
        frames = len(runners[args.models[0]].frames) if step == 'video' else args.num_frames
        for name, own in times.items():
            seconds = statistics.median(own)
            row = dict(step=step, model=name, seconds=seconds, frames_per_second=frames / seconds)
            if OURS in times:
                row['times_devis'] = median_ratio(own, times[OURS])
            rows.append({**row, 'all_seconds': own})
    return rows


def measure_cost(args: argparse.Namespace) -> list[dict]:
    """Memory, parameters and operations of one clip."""
    rows = []
    for name in args.models:
        runner = build(name, args)
        # The counter's hooks fail on parameters that want gradients in inference mode.
        runner.model.requires_grad_(False)
        rows.append(
            dict(
                model=name,
                peak_mib=in_worker(['clip', name], args),
                parameters=sum(p.numel() for p in runner.model.parameters()),
                gflop_network=count_flops(inference(runner.network, args)) / 1e9,
            )
        )
    return rows


def in_worker(job: list[str], args: argparse.Namespace) -> float | None:
    """Peak MiB of a job in a process of its own."""
    keep = {**vars(args), 'json': None, 'worker': None}
    output = worker_output([__file__, '--worker', json.dumps([job, keep])])
    return None if output is None else int(output) / 2**20


def work(job: list[str], args: argparse.Namespace) -> None:
    """What a worker process does: print bytes."""
    kind, name = job
    if kind == 'clip':
        runner = build(name, args)
        call = inference(runner.clip, args)
        with torch.inference_mode():
            small = make_runner(name, (64, 96), (64, 96), args.num_frames, device=args.device)
            small.clip()  # libraries, thread pools, compiled kernels
    else:
        call = training_steps(args)[name]
        training_steps(argparse.Namespace(**{**vars(args), 'size': (64, 96)}))[name]()
    print(peak_bytes(call, args.device))


def training_steps(args: argparse.Namespace) -> dict[str, Callable[[], None]]:
    """Forward and backward pass and optimiser step of DeVIS on one annotated clip."""
    model = build(OURS, args).model.train()
    clips, samples = random_clips(args.num_frames, [tuple(args.size)], 40, num_instances=4)
    clips = clips.to(args.device)
    samples = [sample.to(args.device) for sample in samples]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, foreach=True)
    scaler = torch.amp.GradScaler(args.device, enabled=args.dtype == 'float16')

    def step(autocast: bool) -> None:
        optimizer.zero_grad(set_to_none=True)
        copies: list[TrackDataSample] = [sample.clone() for sample in samples]
        with precision(args) if autocast else contextlib.nullcontext():
            losses = model.loss(clips, copies)
        total = sum(loss for name, loss in losses.items() if 'loss' in name)
        scale = scaler if autocast else torch.amp.GradScaler(args.device, enabled=False)
        scale.scale(total).backward()
        scale.step(optimizer)
        scale.update()

    def loop() -> None:
        with release_loop():
            step(autocast=False)

    steps = {'devis': lambda: step(False), 'loop over frames': loop}
    if args.dtype != 'float32':
        steps = {f'devis, AMP {args.dtype}': lambda: step(True), **steps}
    return steps


def measure_training(args: argparse.Namespace) -> list[dict]:
    """Seconds and memory of one step."""
    steps = training_steps(args)
    times = time_in_turns(steps, args.rounds, args.device)
    base = times['loop over frames']
    return [
        dict(
            step=name,
            seconds=statistics.median(own),
            times_loop=median_ratio(own, base),
            peak_mib=in_worker(['train', name], args),
            all_seconds=own,
        )
        for name, own in times.items()
    ]


def exponent(sizes: list[float], seconds: list[float]) -> float:
    """Slope of a straight line through the logarithms (least squares)."""
    x, y = [math.log(s) for s in sizes], [math.log(s) for s in seconds]
    return statistics.linear_regression(x, y).slope


def measure_growth(args: argparse.Namespace) -> list[dict]:
    """Seconds over frames and areas, with exponents."""
    rows = []
    for size in args.growth_sizes:
        height, width = (int(side) for side in size.split('x'))
        calls = {}
        for length in args.growth_frames:
            runner = build(
                OURS, args, size=(height, width), clip_length=length, video_length=length
            )
            calls[str(length)] = inference(runner.network, args)
        times = time_in_turns(calls, args.rounds, args.device)
        for length, own in times.items():
            rows.append(
                dict(
                    size=size,
                    area=height * width,
                    frames=int(length),
                    seconds=statistics.median(own),
                    all_seconds=own,
                )
            )
    for row in rows:
        same_size = [r for r in rows if r['size'] == row['size']]
        same_length = [r for r in rows if r['frames'] == row['frames']]
        for key, of, group in (('frames', 'T', same_size), ('area', 'area', same_length)):
            row[f'exponent_{of}'] = (
                exponent([r[key] for r in group], [r['seconds'] for r in group])
                if len({r[key] for r in group}) > 1
                else math.nan
            )
    return rows


def count_kernels(call: Callable[[], object], device: str) -> int:
    """Kernels that a call starts; on a CPU, operators that do work rather than call others."""
    on_gpu = device == 'cuda'
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity]) as found:
        call()
    events = found.events()
    if on_gpu:
        return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in events)
    return sum(not event.cpu_children for event in events)


def measure_kernels(args: argparse.Namespace) -> list[dict]:
    """Kernels of one clip, of its decoder, and of one update of the tracker."""
    runner = build(OURS, args)
    call = inference(runner.network, args)
    call()
    rows = [dict(part='clip', kernels=count_kernels(call, args.device))]
    model, kept = runner.model, {}
    hook = model.decoder.register_forward_pre_hook(
        lambda module, positional, named: kept.update(named), with_kwargs=True
    )
    call()
    hook.remove()
    decoder = inference(lambda: model.decoder(**kept), args)
    rows.append(dict(part='decoder', kernels=count_kernels(decoder, args.device)))

    tracker, size = MultiCueClipTracker(), tuple(args.original_size)
    length, stride = args.num_frames, max(args.num_frames - 2, 1)
    shape = tuple(args.size)

    def clip(start: int) -> object:
        inputs = model.data_preprocessor.clip(list(runner.frames[:length]))
        return model.predict_clip(inputs, range(start, start + length), shape, size)

    with torch.inference_mode(), precision(args):
        tracker.update(clip(0), stride)
        second = clip(stride)
        update = inference(lambda: tracker.update(second, 2 * stride), args)
        rows.append(dict(part='tracker update', kernels=count_kernels(update, args.device)))
    return rows


MEASURES = {
    'speed': measure_speed,
    'cost': measure_cost,
    'train': measure_training,
    'growth': measure_growth,
    'kernels': measure_kernels,
}


def print_table(name: str, rows: list[dict]) -> None:
    """Markdown, so that it can be pasted into docs/benchmarks."""
    columns = [key for key in rows[-1] if not key.startswith('all_')]
    print(f'\n| {name}: ' + ' | '.join(columns) + ' |\n|---|' + '---:|' * (len(columns) - 1))
    for row in rows:
        cells = [row.get(column) for column in columns]
        print(
            '| ' + ' | '.join(f'{c:.4g}' if isinstance(c, float) else str(c) for c in cells) + ' |'
        )


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--what', nargs='+', choices=MEASURES, default=['speed', 'cost'])
    parser.add_argument('--models', nargs='+', choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument('--steps', nargs='+', choices=STEPS, default=STEPS, help='of speed')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--dtype', choices=['float32', 'bfloat16', 'float16'], default='float32')
    parser.add_argument('--compile', action='store_true', help='torch.compile the large parts')
    parser.add_argument('--size', type=int, nargs=2, default=(360, 640), metavar=('H', 'W'))
    parser.add_argument('--original-size', type=int, nargs=2, default=(720, 1280),
                        metavar=('H', 'W'), help='of the masks')  # fmt: skip
    parser.add_argument('--num-frames', type=int, default=6, help='frames per clip T')
    parser.add_argument('--video-frames', type=int, default=14)
    parser.add_argument('--growth-frames', type=int, nargs='+', default=[2, 3, 4, 6, 8, 12])
    parser.add_argument('--growth-sizes', nargs='+', metavar='HxW',
                        default=['90x160', '180x320', '270x480', '360x640'])  # fmt: skip
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--json', type=Path, help='also write everything measured to this file')
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    args = parse_args()
    if args.worker:
        job, settings = json.loads(args.worker)
        args = argparse.Namespace(**settings)
        torch.set_num_threads(args.threads)
        work(job, args)
        return
    keep_freed_memory()  # as the programs do
    torch.set_num_threads(args.threads)
    result: dict = {'environment': environment(args.device)}
    for name in args.what:
        result[name] = MEASURES[name](args)
        print_table(name, result[name])
    print(f'\n{json.dumps(result["environment"])}')
    if args.json:
        write_json(args.json, result)


if __name__ == '__main__':
    main()
