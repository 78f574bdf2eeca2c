"""Contact sheets of videos: results of one or several models beside the ground truth.

python tools/analysis_tools/draw_tracks.py ANNOTATIONS --images FOLDER --results r.json --out FOLDER

ANNOTATIONS is a YouTube-VIS or per-frame json, results are YouTube-VIS results as tools/test.py
writes them with `--cfg-options test_evaluator.outfile_prefix=PREFIX`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.structures import InstanceData
from tqdm import tqdm

from mmdevis.datasets.parsing import load_annotations, parse_videos, select_classes
from mmdevis.datasets.transforms import LoadFrame
from mmdevis.visualization import (
    TrackPainter,
    choose_frames,
    contact_sheet,
    draw_tile,
    renumber_tracks,
    write_picture,
)
from mmdevis.visualization.frame_objects import objects_of_records


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('ann_file', help='annotations (.json)')
    parser.add_argument('--images', type=Path, required=True, help='folder of the frames')
    parser.add_argument(
        '--results', nargs='+', default=[], metavar='[NAME=]FILE', help='results of each model'
    )
    parser.add_argument('--out', type=Path, required=True, help='folder for the pictures')
    parser.add_argument('--videos', type=int, nargs='+', help='ids; default: the first ones')
    parser.add_argument('--number', type=int, default=8, help='how many of the first videos')
    parser.add_argument('--frames', type=int, default=8, help='of each video, evenly spaced')
    parser.add_argument('--columns', type=int, help='frames beside each other in each block')
    parser.add_argument('--tile-width', type=int, default=240, help='pixels of a frame')
    parser.add_argument('--score-thr', type=float, default=0.3, help='hide tracks below, 0..1')
    return parser.parse_args(argv)


def read_results(path: Path) -> dict[int, list[dict]]:
    """Tracks of a results file by video.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds no YouTube-VIS results; names the entry.
    """
    try:
        tracks = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} is not valid json: {error}') from error
    if not isinstance(tracks, list):
        raise ValueError(f'{path}: expected a list of tracks; is it an annotation file?')
    by_video = defaultdict(list)
    for position, track in enumerate(tracks):
        missing = {'video_id', 'category_id', 'score', 'segmentations'} - set(track)
        if missing:
            raise ValueError(f'{path}: track {position} has no {", ".join(sorted(missing))}')
        by_video[track['video_id']].append(track)
    return by_video


def objects_of_results(
    tracks: Sequence[dict], length: int, cat2label: dict[int, int]
) -> list[InstanceData]:
    """Objects of each frame of a video, tracks numbered by descending score.

    Raises:
        ValueError: If a track does not fit the annotations; names video and track.
    """
    tracks = sorted(tracks, key=lambda track: -track['score'])
    for number, track in enumerate(tracks):
        where = f'results, video {track["video_id"]}, track {number} by score'
        if len(track['segmentations']) != length:
            raise ValueError(
                f'{where}: {len(track["segmentations"])} masks, but the video has {length} frames'
            )
        if track['category_id'] not in cat2label:
            raise ValueError(f'{where}: category {track["category_id"]} is not in the annotations')
    frames = []
    for frame in range(length):
        seen = [(i, t) for i, t in enumerate(tracks) if t['segmentations'][frame]]
        frames.append(
            InstanceData(
                instances_id=np.array([i for i, _ in seen], dtype=int),
                labels=np.array([cat2label[t['category_id']] for _, t in seen], dtype=int),
                scores=np.array([t['score'] for _, t in seen], dtype=float),
                masks=[t['segmentations'][frame] for _, t in seen],
            )
        )
    return frames


def video_sheet(
    video: dict, groups: dict[str, list[InstanceData]], painter: TrackPainter, args
) -> np.ndarray:
    """Contact sheet of a video, uint8 (H, W, 3) BGR."""
    load = LoadFrame()
    chosen = choose_frames(video['video_length'], args.frames)
    tiles = {title: [] for title in groups}
    for index in chosen:
        record = video['images'][index]
        frame = load(dict(record, img_path=str(args.images / record['file_name'])))['img']
        for title, objects in groups.items():
            tiles[title].append(draw_tile(frame, objects[index], painter, args.tile_width))
    return contact_sheet(tiles, [str(index) for index in chosen], args.columns)


def main(argv: Sequence[str] | None = None) -> int:
    """Read, draw, write; returns the exit status."""
    args = parse_args(argv)
    try:
        data = load_annotations(args.ann_file, require_annotations=False)
        cat2label = select_classes(data['categories'], None, args.ann_file)
        names = {category['id']: category['name'] for category in data['categories']}
        painter = TrackPainter(
            [names[number] for number in cat2label], score_thr=args.score_thr, draw_boxes=False
        )
        videos = {video['video_id']: video for video in parse_videos(data, cat2label)}
        unknown = set(args.videos or ()) - set(videos)
        if unknown:
            raise ValueError(f'{args.ann_file} has no video {sorted(unknown)}')
        results = {}
        for text in args.results:
            name, _, file = text.rpartition('=')
            results[name or ('prediction' if len(args.results) == 1 else Path(file).stem)] = (
                read_results(Path(file))
            )
        for number in tqdm(args.videos or list(videos)[: args.number], unit='video'):
            video = videos[number]
            groups = {
                name: objects_of_results(found[number], video['video_length'], cat2label)
                for name, found in results.items()
            }
            if data.get('annotations') is not None:
                truth = [objects_of_records(frame['instances']) for frame in video['images']]
                groups['ground truth'] = renumber_tracks(truth)
            if not groups:
                raise ValueError(f'{args.ann_file} has no annotations, and there are no --results')
            sheet = video_sheet(video, groups, painter, args)
            write_picture(sheet, args.out / f'video_{number}.jpg')
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'{args.out}: {len(args.videos or list(videos)[: args.number])} videos')
    return 0


if __name__ == '__main__':
    sys.exit(main())
