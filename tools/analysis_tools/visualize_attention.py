"""Shows where a query of a clip looks, as the paper's figures 2 and A.5, and what masks attend to.

python tools/analysis_tools/visualize_attention.py VIDEO CONFIG --weights CKPT --out FOLDER

Writes into FOLDER
- frames.png: sampling points of the trajectory's query of every frame, one layer (figure 2),
- layers.png: those of the query of one frame, every decoder layer (figure A.5),
- mask_attention.png: attention maps of the mask head on its scales, and the mask,
- encoder.png: sampling points of a pixel, every encoder layer (with --pixel).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import TRANSFORMS
from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger

from mmdevis.apis.frame_source import FrameError, open_frames
from mmdevis.apis.vis_inferencer import VISInferencer
from mmdevis.utils.checkpoint import CheckpointError
from mmdevis.visualization.attention import (
    ClipAttention,
    SamplingRow,
    mask_attention_figure,
    record_clip,
    sampling_figure,
)
from mmdevis.visualization.figure_files import save_figure


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('video', help='video file or folder of images')
    parser.add_argument('config', help='config of a video model')
    parser.add_argument('--weights', help='checkpoint; without it the model is untrained')
    parser.add_argument('--out', type=Path, required=True, help='folder for the pictures')
    parser.add_argument(
        '--format', default='png', choices=['png', 'jpg', 'pdf', 'svg'], help='of the pictures'
    )
    parser.add_argument('--start', type=int, default=0, help='first frame of the clip')
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument('--query', type=int, help='trajectory; default: the one that scores best')
    chosen.add_argument('--class-name', help='the best trajectory of this class')
    parser.add_argument('--rank', type=int, default=0, help='1: second best trajectory, ...')
    parser.add_argument('--layer', type=int, default=-1, help='decoder layer of frames.png')
    parser.add_argument('--frame', type=int, help='query of layers.png; default: the middle one')
    parser.add_argument('--head', type=int, help='of the mask head; default: mean of all')
    parser.add_argument(
        '--pixel', type=float, nargs=2, metavar=('X', 'Y'), help='for encoder.png, 0..1'
    )
    parser.add_argument('--level', type=int, default=0, help='of that pixel, 0 is the finest')
    parser.add_argument('--class-names', nargs='+', help="default: the checkpoint's")
    parser.add_argument('--device', default='auto', help='cpu, cuda:0, ...; default: a GPU if any')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='config changes'
    )
    return parser.parse_args(argv)


def read_clip(source: str, start: int, count: int) -> list[np.ndarray]:
    """Consecutive frames of a video.

    Raises:
        FrameError: If the video cannot be read or has fewer frames.
    """
    with open_frames(source) as frames:
        clip = list(islice(frames, start, start + count))
    if start < 0 or len(clip) < count:
        raise FrameError(
            f'{source}: a clip has {count} frames, but there are only {len(clip)} from frame '
            f'{start} on; choose another --start or a longer video'
        )
    return clip


def as_tested(cfg: Config, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Apply the config's test transforms to frames, without loading them.

    Returns:
        uint8 (h, w, 3) BGR each, as the data preprocessor takes them.
    """
    (pack,) = [t for t in cfg.test_dataloader.dataset.pipeline if t['type'] == 'PackLazyVideo']
    _, *transforms = TRANSFORMS.build(pack).frame_pipeline.transforms
    pictures = []
    for frame in frames:
        results = TRANSFORMS.build(dict(type='LoadImageFromNDArray'))(dict(img=frame))
        for transform in transforms:
            results = transform(results)
        pictures.append(results['img'])
    return pictures


def label_of(args: argparse.Namespace, class_names: Sequence[str]) -> int | None:
    """Label of --class-name."""
    if args.class_name is None:
        return None
    if args.class_name not in class_names:
        known = ', '.join(class_names) or 'none: give --class-names'
        raise ValueError(f'there is no class {args.class_name!r}; the model knows {known}')
    return list(class_names).index(args.class_name)


def in_range(name: str, number: int, count: int) -> int:
    """`number` counted from 0, negative ones from the end.

    Raises:
        IndexError: If there is no such one.
    """
    if not -count <= number < count:
        raise IndexError(f'{name} {number}: there are {count}')
    return number % count


def draw(
    attention: ClipAttention,
    pictures: Sequence[np.ndarray],
    query: int,
    title: str,
    args: argparse.Namespace,
) -> list[Path]:
    """Draw all figures of a trajectory.

    Args:
        attention: The clip.
        pictures: Its frames as the model saw them, without padding.
        query: The trajectory.
        title: What it is.
        args: Command line.

    Returns:
        The files.
    """
    count, layers = len(pictures), len(attention.record.decoder)
    numbers = range(args.start, args.start + count)
    layer = in_range('--layer', args.layer, layers)
    frame = count // 2 if args.frame is None else in_range('--frame', args.frame, count)
    pixel_rows = []
    if args.pixel:
        x, y = args.pixel
        pixel_rows = [
            SamplingRow(f'layer {i + 1}', attention.encoder_samples(x, y, args.level, i), frame)
            for i in range(len(attention.record.encoder))
        ]
    samples = [attention.decoder_samples(query, i) for i in range(layers)]
    boxes = attention.boxes[:, :, query]
    figures = {
        'frames': sampling_figure(
            pictures,
            [
                SamplingRow(f'query of frame {numbers[t]}', samples[layer], t, boxes[-1])
                for t in range(count)
            ],
            f'{title}, decoder layer {layer + 1} of {layers}',
            numbers,
        ),
        'layers': sampling_figure(
            pictures,
            # The boxes that a layer starts from are those of the layer before it.
            [
                SamplingRow(f'layer {i + 1}', samples[i], frame, boxes[i - 1] if i else None)
                for i in range(layers)
            ],
            f'{title}, query of frame {numbers[frame]}',
            numbers,
        ),
        'mask_attention': mask_attention_figure(
            pictures, attention.mask_attention(query), args.head, title, numbers
        ),
    }
    if pixel_rows:
        figures['encoder'] = sampling_figure(
            pictures,
            pixel_rows,
            f'encoder, pixel at ({x:.2f}, {y:.2f}) of frame {numbers[frame]}, level {args.level}',
            numbers,
        )
    paths = []
    for name, figure in figures.items():
        paths.append(args.out / f'{name}.{args.format}')
        save_figure(figure, paths[-1])
    return paths


def main(argv: Sequence[str] | None = None) -> int:
    """Run a clip, draw, write; returns the exit status."""
    args = parse_args(argv)
    # An untrained model would otherwise report how each of its parameters was initialised.
    MMLogger.get_current_instance().setLevel('WARNING')
    try:
        cfg = Config.fromfile(args.config)
        cfg.merge_from_dict(args.cfg_options or {})
        inferencer = VISInferencer(cfg, args.weights, args.device)
        model = inferencer.model
        frames = read_clip(args.video, args.start, model.num_frames)
        pictures = as_tested(cfg, frames)
        clip = model.data_preprocessor.clip(
            [torch.from_numpy(picture.transpose(2, 0, 1).copy()) for picture in pictures]
        )
        attention = record_clip(model, clip, pictures[0].shape[:2])
        class_names = tuple(args.class_names or inferencer.class_names)
        query, label, score = attention.best_query(label_of(args, class_names), args.rank)
        if args.query is not None:
            query = in_range('--query', args.query, attention.num_queries)
            best = attention.scores[:, query].mean(0)
            label, score = int(best.argmax()), float(best.max())
        name = class_names[label] if label < len(class_names) else f'class {label}'
        title = f'trajectory {query}, {name} {score:.2f}'
        print(title)
        for path in draw(attention, pictures, query, title, args):
            print(path)
    except (CheckpointError, OSError, ValueError, IndexError, TypeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
