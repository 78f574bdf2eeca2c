"""Command line: track objects in a video and write videos, masks, results and pages of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

from mmdevis.datasets.video_truth import VideoTruth, read_video_truth
from mmdevis.utils.allocator import keep_freed_memory
from mmdevis.utils.checkpoint import CheckpointError
from mmdevis.visualization import ResultPageWriter

from .frame_source import FrameError, FrameSource, open_frames
from .mask_outputs import CocoOutput, MaskFolderOutput, YouTubeVISOutput
from .result_outputs import OutputError, PageOutput, ResultOutput, VideoOutput, WindowOutput
from .video_encoders import EncoderError
from .video_run import RunSummary, StopRequest, paired_frames, write_results
from .vis_inferencer import VISInferencer

INTERRUPTED = 130  # what shells give for Ctrl-C


def build_parser() -> argparse.ArgumentParser:
    """Parser of the command."""
    parser = argparse.ArgumentParser(
        prog='mmdevis-video',
        description='Segment and track the objects of a video.',
        epilog='Ctrl-C ends the video there and completes the files. docs/video_command.md says '
        'more.',
    )
    parser.add_argument('input', help='video file, folder of images, camera number or address')
    parser.add_argument('config', help='config file of a video model')
    parser.add_argument('--weights', help='checkpoint; without it the model is untrained')
    parser.add_argument('--device', default='auto', help='cpu, cuda:0, ...; default: a GPU if any')

    outputs = parser.add_argument_group('outputs (at least one)')
    outputs.add_argument(
        '--out', type=Path, metavar='FILE.mp4', help='video with the tracks drawn in'
    )
    outputs.add_argument(
        '--json', type=Path, metavar='FILE.json', help='all tracks as YouTube-VIS results'
    )
    outputs.add_argument(
        '--masks',
        type=Path,
        metavar='PATH',
        help='a folder: one PNG per frame, value = track number + 1; a name in .json: all masks '
        'as COCO RLE results',
    )
    outputs.add_argument(
        '--html', type=Path, metavar='DIR', help='result page to look through: DIR/index.html'
    )
    outputs.add_argument('--show', action='store_true', help='window; Q or Esc ends the video')
    outputs.add_argument('--force', action='store_true', help='replace existing outputs')

    looks = parser.add_argument_group('pictures')
    looks.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='leave tracks below out of pictures, 0..1 (default %(default)s); json has all tracks',
    )
    looks.add_argument('--class-names', nargs='+', help="default: the checkpoint's")
    looks.add_argument('--fps', type=float, help="of the output; default: the input's, or 25")
    looks.add_argument(
        '--html-width',
        type=int,
        default=640,
        help='frames in the page are at most this wide, in pixels (default %(default)s)',
    )
    looks.add_argument(
        '--ground-truth',
        type=Path,
        metavar='FILE.json',
        help='YouTube-VIS annotations: shown beside the tracks in the page; --json takes their ids',
    )
    looks.add_argument('--gt-video', help="video in --ground-truth; default: the input's name")

    frames = parser.add_argument_group('frames')
    frames.add_argument('--stride', type=int, help="frames between clips; default: the config's")
    frames.add_argument('--max-frames', type=int, help='stop after so many frames')
    frames.add_argument(
        '--latency',
        choices=('exact', 'low'),
        help="exact: the tracks of the video as a whole (default); low: less than a clip's wait",
    )
    frames.add_argument('--batch-size', type=int, help='clips at once, for files (default 1)')
    frames.add_argument(
        '--precision', choices=('fp32', 'bf16', 'fp16'), help='of the model (default fp32)'
    )
    frames.add_argument(
        '--input-size',
        type=int,
        nargs=2,
        metavar=('W', 'H'),
        help="fit frames into this size for the model; default: the config's",
    )
    frames.add_argument('--top-k', type=int, help="instances per clip; default: the config's")
    frames.add_argument(
        '--max-missing',
        type=int,
        help='forget tracks that were unseen for more than so many frames',
    )
    return parser


def check_arguments(args: argparse.Namespace) -> None:
    """Refuses what cannot work, before anything is read or built.

    Raises:
        ValueError: Saying which argument to change.
    """
    files = {'--out': args.out, '--json': args.json, '--masks': args.masks}
    if args.html is not None:
        files['--html'] = args.html / 'index.html'
    files = {flag: path for flag, path in files.items() if path is not None}
    if not files and not args.show:
        raise ValueError('nothing to do: give --out, --json, --masks, --html or --show')
    taken: dict[Path, str] = {}
    source = Path(args.input)
    for flag, path in files.items():
        if path.absolute() in taken:
            raise ValueError(f'{taken[path.absolute()]} and {flag} both write {path}')
        taken[path.absolute()] = flag
        if source.exists() and path.exists() and path.samefile(source):
            raise ValueError(f'{flag} {path} is the input; choose another name')
    if not 0 <= args.score_thr <= 1:
        raise ValueError(f'--score-thr must be in 0..1, got {args.score_thr}')
    if args.max_frames is not None and args.max_frames < 1:
        raise ValueError(f'--max-frames must be at least 1, got {args.max_frames}')


def open_outputs(
    args: argparse.Namespace, source: FrameSource, truth: VideoTruth | None, stop: StopRequest
) -> list[ResultOutput]:
    """Opens all outputs that were asked for; a name that cannot be written shows at once.

    Args:
        args: The command line.
        source: The video.
        truth: Its ground truth, if there is one.
        stop: Set when the person closes the window.

    Returns:
        The outputs.

    Raises:
        FileExistsError: One is there already and `--force` is not given.
        ValueError: A name that does not fit.
        OutputError: There is no screen for a window.
    """
    fps = args.fps or source.fps or 25.0
    outputs: list[ResultOutput] = []
    if args.out is not None:
        outputs.append(VideoOutput(args.out, fps, args.score_thr, args.force))
    if args.json is not None:
        video_id = 1 if truth is None else truth.video_id
        outputs.append(YouTubeVISOutput(args.json, video_id, args.force))
    if args.masks is not None and args.masks.suffix.lower() == '.json':
        outputs.append(CocoOutput(args.masks, args.force))
    elif args.masks is not None:
        outputs.append(MaskFolderOutput(args.masks, args.score_thr, args.force))
    if args.html is not None:
        page = ResultPageWriter(
            args.html / 'index.html',
            source.name,
            fps,
            score_thr=args.score_thr,
            width=args.html_width,
            truth=None if truth is None else truth.tracks,
            truth_names=() if truth is None else truth.class_names,
            force=args.force,
        )
        outputs.append(PageOutput(page))
    if args.show:
        outputs.append(WindowOutput(source.name, args.score_thr, stop.set))
    return outputs


def stream_options(args: argparse.Namespace) -> dict[str, Any]:
    """Options of `VISInferencer.stream` that the command line gives; the others keep their own."""
    names = 'stride max_frames latency batch_size precision input_size top_k max_missing'.split()
    given = {name: vars(args)[name] for name in names}
    # The outputs that need masks of finished tracks collect them; the others must not grow.
    options: dict[str, Any] = dict(keep_masks=False)
    options.update((name, value) for name, value in given.items() if value is not None)
    return options


def run(args: argparse.Namespace, stop: StopRequest) -> RunSummary:
    """Reads, tracks and writes.

    Args:
        args: The command line.
        stop: Ends the video when it is set.

    Returns:
        How it went.
    """
    check_arguments(args)
    target = int(args.input) if args.input.isdigit() else args.input
    with open_frames(target) as source, ExitStack() as opened:
        truth = None
        if args.ground_truth is not None:
            truth = read_video_truth(args.ground_truth, args.gt_video or source.name)
        # Before the model is built: a wrong name of an output should not cost that time.
        outputs = open_outputs(args, source, truth, stop)
        for output in outputs:
            opened.enter_context(output)
        inferencer = VISInferencer(args.config, args.weights, device=args.device)
        class_names = tuple(args.class_names or inferencer.class_names)
        category_ids = None
        coco = args.masks is not None and args.masks.suffix.lower() == '.json'
        if truth is not None and class_names and (args.json is not None or coco):
            category_ids = truth.categories_of(class_names)
        for output in outputs:
            output.start(class_names, category_ids)
        total = source.num_frames
        if args.max_frames is not None:
            total = min(total or args.max_frames, args.max_frames)
        pairs = paired_frames(inferencer, source, stop, **stream_options(args))
        return write_results(pairs, outputs, total, source.name)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point.

    Args:
        argv: Arguments; default those of the process.

    Returns:
        Exit status: 0; 1 after an error; 130 when it was stopped by Ctrl-C, also when the files
        were completed.
    """
    args = build_parser().parse_args(argv)
    keep_freed_memory()
    # An untrained model would otherwise report how each of its parameters was initialised.
    MMLogger.get_current_instance().setLevel('WARNING')
    known = (CheckpointError, FrameError, EncoderError, OutputError, OSError, ValueError)
    try:
        with StopRequest() as stop:
            summary = run(args, stop)
    except known as error:
        print(f'mmdevis-video: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('mmdevis-video: stopped at once; unfinished files were removed', file=sys.stderr)
        return INTERRUPTED
    for line in summary.lines:
        print(line)
    if summary.errors:
        print(
            f'mmdevis-video: the video broke off after {summary.num_frames} frames', file=sys.stderr
        )
    for error in summary.errors:
        if not isinstance(error, known):
            raise error
        print(f'mmdevis-video: {error}', file=sys.stderr)
    if summary.errors:
        return 1
    return INTERRUPTED if stop.by_signal else 0


if __name__ == '__main__':
    sys.exit(main())
