"""Draws the videos in which results are worst, with a line each on what went wrong.

python tools/benchmark/failure_gallery.py RESULTS.json GROUND_TRUTH.json IMAGES --out DIR

Writes DIR/README.md and a picture for each video: some frames, prediction left of ground truth.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mmdevis.benchmarking.failures import Failure, worst_videos
from mmdevis.utils.files import read_json, write_text
from mmdevis.visualization import TrackPainter, side_by_side


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', type=Path, help='results (.json or .zip)')
    parser.add_argument('ground_truth', type=Path, help='annotations in YouTube-VIS format (.json)')
    parser.add_argument('images', type=Path, help='folder that the file names are relative to')
    parser.add_argument('--out', type=Path, required=True, help='folder to write')
    parser.add_argument('--count', type=int, default=10, help='videos (default %(default)s)')
    parser.add_argument('--frames', type=int, default=6, help='frames of each (default 6)')
    parser.add_argument('--score-thr', type=float, default=0.3, help='tracks below are not drawn')
    return parser.parse_args(argv)


def _paint(
    painter: TrackPainter, picture: np.ndarray, tracks: Sequence[dict], labels: dict, frame: int
) -> np.ndarray:
    seen = [i for i, t in enumerate(tracks) if t['segmentations'][frame]]
    return painter.paint(
        picture,
        seen,
        [labels[tracks[i]['category_id']] for i in seen],
        [tracks[i]['segmentations'][frame] for i in seen],
        [tracks[i]['score'] for i in seen] if seen and 'score' in tracks[seen[0]] else None,
    )


def draw(failure: Failure, images: Path, categories: Sequence[dict], frames: int) -> np.ndarray:
    """Contact sheet of a video: two of some frames in a row, each prediction and ground truth.

    Returns:
        uint8 (H, W, 3), BGR.

    Raises:
        FileNotFoundError: A frame cannot be read.
    """
    categories = sorted(categories, key=lambda c: c['id'])
    labels = {category['id']: i for i, category in enumerate(categories)}
    painter = TrackPainter([c['name'] for c in categories], score_thr=0.0, min_side=192)
    names = failure.video['file_names']
    chosen = np.unique(np.linspace(0, len(names) - 1, min(frames, len(names))).round().astype(int))
    pairs = []
    for frame in chosen.tolist():
        picture = cv2.imread(str(images / names[frame]))
        if picture is None:
            raise FileNotFoundError(f'{images / names[frame]} cannot be read as a picture')
        predicted, expected = (
            _paint(painter, picture, tracks, labels, frame)
            for tracks in (failure.tracks.dts, failure.tracks.gts)
        )
        titles = (f'prediction, frame {frame}', 'ground truth')
        pairs.append(side_by_side(predicted, expected, titles))
    if len(pairs) % 2:
        pairs.append(np.full_like(pairs[0], 24))
    rows = [np.concatenate(pairs[i : i + 2], axis=1) for i in range(0, len(pairs), 2)]
    return np.concatenate(rows)


def main(argv: list[str] | None = None) -> int:
    """Draws the gallery; returns the exit status: 0, or 2 when a file does not fit."""
    args = parse_args(argv)
    try:
        gt, results = read_json(args.ground_truth), read_json(args.results)
        failures = worst_videos(gt, results, args.count, score_thr=args.score_thr)
        args.out.mkdir(parents=True, exist_ok=True)
        lines = [
            '# Failures',
            '',
            f'Worst videos of `{args.results}` against `{args.ground_truth}`, by AP of the video. '
            f'Tracks that score under {args.score_thr:g} are not drawn.',
            '',
        ]
        for number, failure in enumerate(failures, start=1):
            picture = draw(failure, args.images, gt['categories'], args.frames)
            name = f'{number:02d}.jpg'
            _, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
            (args.out / name).write_bytes(data.tobytes())
            line = f'Video {failure.video["id"]}, AP {failure.ap:.2f}: {failure.reason}.'
            lines += [f'![{line}]({name})', '', line, '']
            print(line)
        write_text(args.out / 'README.md', '\n'.join(lines))
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
