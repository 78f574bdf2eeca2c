"""Make a SynthVIS set: textured moving shapes with exact masks, identities and occlusion levels.

Example:
    python tools/dataset_converters/make_synthvis.py data/synthvis --videos 200 --val-videos 50
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import fields
from typing import Any

from mmdevis.datasets.synthvis import (
    DIFFICULTIES,
    SYNTHVIS_CLASSES,
    SynthVISConfig,
    generate_synthvis,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Make a SynthVIS set: frames, YouTube-VIS and per-frame annotations.'
    )
    parser.add_argument('out', help='folder to make; it appears, complete, at the end')
    parser.add_argument('--videos', type=int, default=60, help='training videos (default 60)')
    parser.add_argument(
        '--val-videos',
        type=int,
        default=0,
        help='unseen validation videos as a second split (default 0)',
    )
    parser.add_argument('--frames', type=int, help='frames of a video (default 16)')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='frame size in pixels (default 96 160)',
    )
    parser.add_argument('--seed', type=int, default=0, help='same seed, same bytes (default 0)')
    parser.add_argument('--difficulty', choices=DIFFICULTIES, default='standard')
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help=f'some of: {" ".join(SYNTHVIS_CLASSES)} (default all)',
    )
    parser.add_argument('--image-format', choices=('jpg', 'png'), help='default jpg')
    parser.add_argument(
        '--set',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='any other setting of SynthVISConfig as JSON, e.g. crossing_prob=1 num_objects=[2,4]; '
        'see docs/synthvis.md',
    )
    parser.add_argument('--workers', type=int, help='processes (default: one per core, 8 at most)')
    parser.add_argument(
        '--force', action='store_true', help='replace a SynthVIS set with other settings in OUT'
    )
    return parser.parse_args(argv)


def build_config(args: argparse.Namespace) -> SynthVISConfig:
    """Build the settings from the command line.

    Raises:
        ValueError: If a setting is unknown or out of range.
    """
    overrides: dict[str, Any] = {}
    for name in ('frames', 'size', 'classes', 'image_format'):
        if getattr(args, name) is not None:
            overrides[name] = getattr(args, name)
    known = {field.name for field in fields(SynthVISConfig)}
    for pair in args.set:
        key, separator, text = pair.partition('=')
        if not separator or key not in known:
            raise ValueError(
                f'--set {pair}: expected KEY=VALUE with a KEY out of {", ".join(sorted(known))}'
            )
        try:
            overrides[key] = json.loads(text)
        except ValueError:
            overrides[key] = text
    return SynthVISConfig.preset(args.difficulty, **overrides)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    args = parse_args(argv)
    splits = {'train': args.videos}
    if args.val_videos:
        splits['valid'] = args.val_videos
    start = time.perf_counter()
    try:
        result = generate_synthvis(
            args.out,
            splits,
            build_config(args),
            seed=args.seed,
            workers=args.workers,
            force=args.force,
        )
    except (ValueError, TypeError, OSError) as error:
        print(f'make_synthvis: {error}', file=sys.stderr)
        return 2
    if result.reused:
        print(f'{result.out_dir} holds this very set already; nothing to do')
    for split, count in result.manifest['counts'].items():
        print(f'{split}: ' + ', '.join(f'{number} {what}' for what, number in count.items()))
    if not result.reused:
        print(f'written to {result.out_dir} in {time.perf_counter() - start:.1f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
