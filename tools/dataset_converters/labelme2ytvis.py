"""Convert video frames annotated with labelme to a YouTube-VIS json.

The source has one folder per video, with the frames and labelme's json files beside them. Give each
object a group id in labelme, the same in all frames of its video.
"""

import argparse
from pathlib import Path

from tqdm import tqdm

from mmdevis.datasets.converters import labelme_to_ytvis, write_json
from mmdevis.datasets.errors import AnnotationError
from mmdevis.datasets.validation import validate


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help='folder of video folders')
    parser.add_argument('target', type=Path, help='YouTube-VIS json to write')
    parser.add_argument(
        '--classes', nargs='+', help='category names in the order of their ids (default: all found)'
    )
    return parser.parse_args()


def main() -> None:
    """Convert one folder."""
    args = parse_args()
    try:
        data = labelme_to_ytvis(
            args.source, args.classes, progress=lambda folders: tqdm(folders, unit='video')
        )
        validate(data, str(args.source), require_annotations=True)
    except (OSError, AnnotationError) as error:
        raise SystemExit(f'{args.source} cannot be converted:\n{error}') from error
    write_json(data, args.target)
    print(f'{args.target}: {len(data["videos"])} videos, {len(data["annotations"])} tracks.')


if __name__ == '__main__':
    main()
