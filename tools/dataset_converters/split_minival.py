"""Set training videos aside as a local validation set.

The annotations of the official validation sets are not public. The choice is the same on every
machine. Writes `<stem>_sub.json` (for training) and `<stem>_minival.json`.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

from mmdevis.datasets.converters import split_videos, write_json
from mmdevis.datasets.errors import AnnotationError
from mmdevis.datasets.validation import validate


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help='YouTube-VIS or per-frame json')
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        '--fraction', type=float, default=0.1, help='part of the videos (default: %(default)s)'
    )
    size.add_argument('--videos', type=int, help='number of videos, instead of a fraction')
    parser.add_argument('--seed', type=int, default=0, help='(default: %(default)s)')
    parser.add_argument('--out-dir', type=Path, help='default: beside the source')
    return parser.parse_args()


def main() -> None:
    """Split one file."""
    args = parse_args()
    try:
        data = json.loads(args.source.read_text())
        validate(data, str(args.source), require_annotations=True)
        if 'videos' not in data:
            raise AnnotationError(f'{args.source}: "videos": is missing.')
        count = args.videos
        if count is None:
            count = max(1, round(args.fraction * len(data['videos'])))
        parts = split_videos(data, count, args.seed)
    except (OSError, json.JSONDecodeError, ValueError) as error:
        raise SystemExit(f'{args.source} cannot be split:\n{error}') from error
    folder = args.out_dir or args.source.parent
    names = {category['id']: category['name'] for category in data['categories']}
    for suffix, part in zip(('sub', 'minival'), parts):
        path = folder / f'{args.source.stem}_{suffix}.json'
        write_json(part, path)
        found = Counter(entry['category_id'] for entry in part['annotations'])
        absent = [name for number, name in names.items() if number not in found]
        print(f'{path}: {len(part["videos"])} videos, {len(part["annotations"])} annotations.')
        if absent:
            print(f'  without {len(absent)} of {len(names)} categories: {", ".join(absent)}')


if __name__ == '__main__':
    main()
