"""Convert a YouTube-VIS or OVIS json to the per-frame json that MMDetection's own data sets read.

The data sets of mmdevis read both formats; this is for MMDetection's `YouTubeVISDataset` and its
video models.
"""

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from mmdevis.datasets.converters import write_json, ytvis_to_frames
from mmdevis.datasets.errors import AnnotationError
from mmdevis.datasets.validation import is_per_frame, validate


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help='YouTube-VIS or OVIS json')
    parser.add_argument('target', type=Path, help='per-frame json to write')
    return parser.parse_args()


def main() -> None:
    """Convert one file."""
    args = parse_args()
    print(f'Reading {args.source} ...')
    try:
        data = json.loads(args.source.read_text())
        # Without annotations, as in the public validation sets, the frames are still converted.
        validate(data, str(args.source), require_annotations=False)
    except (OSError, json.JSONDecodeError, AnnotationError) as error:
        raise SystemExit(f'{args.source} cannot be converted:\n{error}') from error
    if is_per_frame(data):
        raise SystemExit(f'{args.source} is a per-frame json already ("images"): nothing to do.')
    frames = ytvis_to_frames(data, progress=lambda videos: tqdm(videos, unit='video'))
    write_json(frames, args.target)
    tracks = len(data.get('annotations') or [])
    print(
        f'{args.target}: {len(frames["videos"])} videos, {len(frames["images"])} frames, '
        f'{tracks} tracks, {len(frames["annotations"])} masks.'
    )


if __name__ == '__main__':
    main()
