"""Shows clips as the model gets them in training, after augmentation, with their annotations.

python tools/analysis_tools/browse_dataset.py CONFIG --out FOLDER --number 8
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from tqdm import tqdm

from mmdevis.visualization import TrackPainter, write_picture
from mmdevis.visualization.clips import clip_sheet


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config with a data set of clips')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    parser.add_argument('--number', type=int, default=8, help='clips to draw')
    parser.add_argument('--indices', type=int, nargs='+', help='which clips; default: random ones')
    parser.add_argument(
        '--repeat', type=int, default=1, help='draw every clip so often, each augmented anew'
    )
    parser.add_argument('--out', type=Path, help='folder for the pictures')
    parser.add_argument('--show', action='store_true', help='show them in a window')
    parser.add_argument('--wait-time', type=float, default=2.0, help='seconds; 0 waits for a key')
    parser.add_argument('--frames', type=int, default=12, help='at most so many of each clip')
    parser.add_argument('--columns', type=int, help='frames beside each other')
    parser.add_argument('--tile-width', type=int, default=240, help='pixels of a frame')
    parser.add_argument('--seed', type=int, default=0, help='of choice and augmentation')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='config changes'
    )
    args = parser.parse_args(argv)
    if not args.out and not args.show:
        parser.error('--out FOLDER or --show: where should the pictures go?')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Draw; returns the exit status."""
    args = parse_args(argv)
    try:
        cfg = Config.fromfile(args.config)
        if args.cfg_options:
            cfg.merge_from_dict(args.cfg_options)
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        dataset = DATASETS.build(cfg[f'{args.split}_dataloader'].dataset)
        indices = args.indices
        if indices is None:
            order = np.random.default_rng(args.seed).permutation(len(dataset))
            indices = sorted(order[: args.number].tolist())
        painter = TrackPainter(dataset.metainfo.get('classes') or (), draw_boxes=True)
        jobs = [(index, turn) for index in indices for turn in range(args.repeat)]
        for index, turn in tqdm(jobs, unit='clip'):
            set_random_seed(args.seed + turn * len(dataset) + index)
            item = dataset[index]
            sheet, name = clip_sheet(item, painter, args.frames, args.columns, args.tile_width)
            if args.show:
                cv2.imshow('clips', sheet)
                cv2.waitKey(max(0, round(args.wait_time * 1000)))
            if args.out:
                suffix = f'_{turn}' if args.repeat > 1 else ''
                write_picture(sheet, args.out / f'clip_{index:06d}_{name}{suffix}.jpg')
    except (OSError, ValueError, IndexError, KeyError, TypeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    if args.out:
        print(f'{args.out}: {len(jobs)} clips of {len(dataset)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
