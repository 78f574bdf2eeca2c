"""Command line: track objects in a video and write the picture of it."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.logging import MMLogger
from tqdm import tqdm

from mmdevis.structures import FrameTracks
from mmdevis.utils.checkpoint import CheckpointError
from mmdevis.visualization import TrackPainter

from .frame_source import FrameError, FrameSource, open_frames
from .video_writer import VideoWriter
from .vis_inferencer import VISInferencer


def build_parser() -> argparse.ArgumentParser:
    """Parser of the command."""
    parser = argparse.ArgumentParser(
        prog='mmdevis-video', description='Segment and track the objects of a video.'
    )
    parser.add_argument('input', help='video file, folder of images, camera number or address')
    parser.add_argument('config', help='config file of a video model')
    parser.add_argument('--weights', help='checkpoint; without it the model is untrained')
    parser.add_argument('--out', required=True, help='video to write, .mp4')
    parser.add_argument('--device', default='auto', help='cpu, cuda:0, ...; default: a GPU if any')
    parser.add_argument('--score-thr', type=float, default=0.3, help='hide tracks below, 0..1')
    parser.add_argument('--class-names', nargs='+', help="default: the checkpoint's")
    parser.add_argument('--stride', type=int, help="frames between clips; default: the config's")
    parser.add_argument('--max-frames', type=int, help='stop after so many frames')
    parser.add_argument('--fps', type=float, help="of the output; default: the input's, or 25")
    parser.add_argument('--force', action='store_true', help='replace an existing output')
    return parser


def paired_frames(
    inferencer: VISInferencer,
    source: FrameSource,
    stride: int | None = None,
    max_frames: int | None = None,
) -> Iterator[tuple[np.ndarray, FrameTracks]]:
    """Pictures with what was found on them; pictures wait only until their result is final.

    Args:
        inferencer: The model.
        source: Where frames come from; read once.
        stride: Frames between the starts of clips.
        max_frames: Stop after so many.

    Yields:
        The frame, uint8 (H, W, 3) BGR, and its tracks.
    """
    waiting: deque[np.ndarray] = deque()

    def remembered() -> Iterator[np.ndarray]:
        for frame in source:
            waiting.append(frame)
            yield frame

    for result in inferencer.stream(remembered(), stride=stride, max_frames=max_frames):
        yield waiting.popleft(), result


def run(args: argparse.Namespace) -> int:
    """Read, track, draw and write; returns the number of frames written."""
    target = int(args.input) if args.input.isdigit() else args.input
    with open_frames(target) as source:
        fps = args.fps or source.fps or 25.0
        # Before the model is built: a wrong output name should not cost that time.
        with VideoWriter(args.out, fps=fps, force=args.force) as writer:
            inferencer = VISInferencer(args.config, args.weights, device=args.device)
            painter = TrackPainter(
                args.class_names or inferencer.class_names, score_thr=args.score_thr
            )
            total = source.num_frames
            if args.max_frames is not None:
                total = min(total or args.max_frames, args.max_frames)
            pairs = paired_frames(inferencer, source, args.stride, args.max_frames)
            for frame, found in tqdm(pairs, total=total, unit='frame', desc=source.name):
                labels = found.labels if found.track_labels is None else found.track_labels
                scores = found.scores if found.track_scores is None else found.track_scores
                writer.write(painter.paint(frame, found.track_ids, labels, found.masks, scores))
    return writer.num_frames


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = build_parser().parse_args(argv)
    # An untrained model would otherwise report how each of its parameters was initialised.
    MMLogger.get_current_instance().setLevel('WARNING')
    try:
        count = run(args)
    except (CheckpointError, FrameError, FileExistsError, FileNotFoundError, ValueError) as error:
        print(f'mmdevis-video: {error}', file=sys.stderr)
        return 1
    print(f'{args.out}: {count} frames')
    return 0


if __name__ == '__main__':
    sys.exit(main())
