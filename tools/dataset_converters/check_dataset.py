"""Read a data set, print what it holds and what is wrong with it, and draw its annotations.

Ends with exit code 1 if something is wrong.
"""

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from mmdevis.datasets.converters import ytvis_to_frames
from mmdevis.datasets.inspection import check_pictures, contact_sheet, count, invisible_tracks
from mmdevis.datasets.parsing import parse_videos, select_classes
from mmdevis.datasets.validation import find_problems, is_per_frame
from mmdevis.visualization.contact_sheet import write_picture


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('ann_file', type=Path, help='YouTube-VIS or per-frame json')
    parser.add_argument('--images', type=Path, help='folder of the frames (default: not read)')
    parser.add_argument('--sheet', type=Path, help='picture to write (needs --images)')
    parser.add_argument(
        '--sheet-videos', type=int, default=8, help='videos on the picture (default: %(default)s)'
    )
    parser.add_argument(
        '--skip-pictures', action='store_true', help='do not read every frame, only the sheet'
    )
    return parser.parse_args()


def main() -> None:
    """Check one data set."""
    args = parse_args()
    if args.sheet and not args.images:
        raise SystemExit('--sheet needs --images, the folder that the file names are relative to.')
    source = str(args.ann_file)
    try:
        data = json.loads(args.ann_file.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise SystemExit(f'{source} cannot be read: {error}') from error
    problems = [str(p) for p in find_problems(data, source, require_annotations=False)]
    if problems:
        # Nothing below can work with a broken file.
        _report(problems)
    if data.get('annotations') is None:
        print('No annotations: a set for testing only.')
    if not is_per_frame(data):
        for problem in invisible_tracks(data, source):
            print(f'Note: {problem}')
        data = ytvis_to_frames(data, progress=lambda v: tqdm(v, unit='video', desc='masks'))
    cat2label = select_classes(data['categories'], None, source)
    names = {category['id']: category['name'] for category in data['categories']}
    classes = [names[number] for number in cat2label]
    videos = parse_videos(data, cat2label)
    for key, value in count(videos, classes).items():
        if isinstance(value, dict):
            value = ', '.join(f'{name}: {number}' for name, number in value.items())
        print(f'{key.replace("_", " "):>22}  {value}')
    if args.images and not args.skip_pictures:
        problems += check_pictures(
            videos, str(args.images), progress=lambda f: tqdm(f, unit='frame', desc='pictures')
        )
    if args.sheet:
        try:
            sheet = contact_sheet(videos[: args.sheet_videos], str(args.images), classes)
            write_picture(sheet, args.sheet)
            print(f'{args.sheet}: annotations of {min(args.sheet_videos, len(videos))} videos.')
        except (OSError, ValueError) as error:
            problems.append(f'No contact sheet: {error}')
    _report(problems)


def _report(problems: list[str]) -> None:
    if problems:
        print('\n'.join(problems))
        raise SystemExit(f'{len(problems)} problem(s).')
    print('No problems.')


if __name__ == '__main__':
    main()
