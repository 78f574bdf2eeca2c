"""Convert annotations exported by CVAT to a YouTube-VIS json.

Reads the xml of "CVAT for images 1.1" and "CVAT for video 1.1", and folders of "MOTS PNG".
"""

import argparse
from pathlib import Path

from tqdm import tqdm

from mmdevis.datasets.converters import cvat_to_ytvis, mots_to_ytvis, write_json
from mmdevis.datasets.errors import AnnotationError
from mmdevis.datasets.validation import validate


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'sources', type=Path, nargs='+', help='xml files, or folders with images/ and instances/'
    )
    parser.add_argument('--out', type=Path, required=True, help='YouTube-VIS json to write')
    parser.add_argument(
        '--classes',
        nargs='+',
        help='category names in the order of their ids (xml; default: all found)',
    )
    parser.add_argument(
        '--track-attribute',
        help='attribute with the number of the track (CVAT for images; default: the group)',
    )
    parser.add_argument(
        '--frame-name',
        default='frame_{:06d}.PNG',
        help='names of the frames (CVAT for video; default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    """Convert the given files or folders."""
    args = parse_args()
    folders = [source for source in args.sources if source.is_dir()]
    if folders and len(folders) < len(args.sources):
        raise SystemExit('Give either xml files or folders in MOTS PNG format, not both.')
    try:
        if folders:
            data = mots_to_ytvis(folders, progress=lambda items: tqdm(items, unit='video'))
        else:
            data = cvat_to_ytvis(
                args.sources,
                args.classes,
                args.track_attribute,
                args.frame_name,
                progress=lambda items: tqdm(items, unit='file'),
            )
        validate(data, str(args.sources[0]), require_annotations=True)
    except (OSError, AnnotationError) as error:
        raise SystemExit(f'The annotations cannot be converted:\n{error}') from error
    write_json(data, args.out)
    print(f'{args.out}: {len(data["videos"])} videos, {len(data["annotations"])} tracks.')


if __name__ == '__main__':
    main()
