"""Convert checkpoints of the official DeVIS release to ours, and back.

Example:
    python tools/model_converters/devis_to_mmdevis.py devis_R_50_YT-19.pth r50_yt19.pth \
        --config configs/devis/devis_r50_4xb1-9e_youtubevis2019.py

A checkpoint of the COCO stage given to the config of a video model becomes what the video model
starts training from (`load_from`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmdet.utils import register_all_modules
from mmengine.config import Config, DictAction


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Convert checkpoints of the DeVIS release.')
    parser.add_argument('source', help='checkpoint to convert (.pth)')
    parser.add_argument('target', help='file to write')
    parser.add_argument('--config', required=True, help='config of the model')
    parser.add_argument(
        '--reverse', action='store_true', help='from ours to the layout of the release'
    )
    parser.add_argument(
        '--new-class-head',
        action='store_true',
        help='COCO stage to video model: start the whole class head new, as the release does, '
        'instead of taking over classes of the same name',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='config overrides'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    args = parse_args(argv)
    from mmdevis.checkpoints.conversion import convert_file, revert_file
    from mmdevis.utils.checkpoint import CheckpointError

    try:
        if not Path(args.config).is_file():
            raise CheckpointError(f'There is no config file {args.config}')
        cfg = Config.fromfile(args.config)
        if args.cfg_options:
            cfg.merge_from_dict(args.cfg_options)
        register_all_modules(init_default_scope=True)
        if args.reverse:
            report = revert_file(args.source, args.target, cfg)
        else:
            report = convert_file(
                args.source, args.target, cfg, map_classes=not args.new_class_head
            )
    except CheckpointError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(report)
    print(f'Written: {args.target}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
