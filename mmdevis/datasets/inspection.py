"""Looking at a data set: counts, pictures that cannot be used, and a contact sheet."""

import os.path as osp
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mmdevis.visualization.contact_sheet import draw_tile, write_caption
from mmdevis.visualization.frame_objects import objects_of_records
from mmdevis.visualization.track_painter import TrackPainter

from .converters.ytvis import compress_mask
from .errors import FrameError
from .transforms.load_frame import LoadFrame
from .validation import Problem


def count(videos: Sequence[Mapping], classes: Sequence[str]) -> dict[str, Any]:
    """Count what a data set holds.

    Args:
        videos (Sequence[Mapping]): Of `parsing.parse_videos`, labels counting into `classes`.
        classes (Sequence[str]): Names of the labels.

    Returns:
        dict: `videos`, `frames`, `tracks`, `masks`, `frames_without_object`,
        `videos_without_object`, `shortest`, `longest` (frames), `largest_crowd` (objects in one
        frame), `sizes` ({'height x width': videos}) and `tracks_per_class`.
    """
    frames = [frame for video in videos for frame in video['images']]
    objects = [len(frame['instances']) for frame in frames]
    tracks = {}
    for frame in frames:
        for instance in frame['instances']:
            tracks[frame['video_id'], instance['instance_id']] = instance['bbox_label']
    per_class = Counter(tracks.values())
    sizes = Counter(
        f'{video["images"][0]["height"]} x {video["images"][0]["width"]}' for video in videos
    )
    return {
        'videos': len(videos),
        'frames': len(frames),
        'tracks': len(tracks),
        'masks': sum(objects),
        'frames_without_object': objects.count(0),
        'videos_without_object': sum(
            not any(frame['instances'] for frame in video['images']) for video in videos
        ),
        'shortest': min(video['video_length'] for video in videos),
        'longest': max(video['video_length'] for video in videos),
        'largest_crowd': max(objects),
        'sizes': dict(sizes.most_common()),
        'tracks_per_class': {name: per_class[label] for label, name in enumerate(classes)},
    }


def invisible_tracks(data: Mapping[str, Any], source: str) -> Iterator[Problem]:
    """Tracks of a YouTube-VIS json that are seen in no frame.

    Args:
        data (Mapping): YouTube-VIS json that passed `validation.validate`.
        source (str): Path of the file, for the messages.

    Yields:
        Problem: One per such track. They do no harm: they are left out.
    """
    sizes = {video['id']: (video['height'], video['width']) for video in data['videos']}
    for track in data.get('annotations') or []:
        size = sizes[track['video_id']]
        if all(compress_mask(mask, *size) is None for mask in track['segmentations']):
            where = f'video {track["video_id"]}, annotation {track["id"]}'
            yield Problem(source, where, 'segmentations', 'is empty in every frame.')


def check_pictures(
    videos: Sequence[Mapping],
    folder: str,
    progress: Callable[[Iterable], Iterable] = lambda items: items,
) -> Iterator[str]:
    """Read every picture of a data set.

    Args:
        videos (Sequence[Mapping]): Of `parsing.parse_videos`.
        folder (str): Folder that the file names are relative to.
        progress (Callable): Wraps the list of frames, for example `tqdm.tqdm`.

    Yields:
        str: A message per picture that is missing, truncated or of another size.
    """
    load = LoadFrame()
    for frame in progress([frame for video in videos for frame in video['images']]):
        try:
            load(dict(frame, img_path=osp.join(folder, frame['file_name'])))
        except (FrameError, ValueError) as error:
            yield str(error)


def contact_sheet(
    videos: Sequence[Mapping],
    folder: str,
    classes: Sequence[str],
    columns: int = 6,
    tile_width: int = 240,
) -> np.ndarray:
    """Draw annotations, one row of evenly spaced frames per video.

    A track has the same colour in all frames of its video.

    Args:
        videos (Sequence[Mapping]): Of `parsing.parse_videos`; all of them are drawn.
        folder (str): Folder that the file names are relative to.
        classes (Sequence[str]): Names of the labels.
        columns (int): Frames per video.
        tile_width (int): Width of a frame in pixels; its height keeps the proportions.

    Returns:
        np.ndarray: Image (h, w, 3) uint8 BGR.

    Raises:
        FrameError: If a picture cannot be read.
    """
    load, painter = LoadFrame(), TrackPainter(classes, draw_boxes=False)
    rows = []
    for video in videos:
        chosen = np.linspace(0, video['video_length'] - 1, columns).round().astype(int)
        tiles = []
        for index in chosen:
            frame = video['images'][index]
            path = osp.join(folder, frame['file_name'])
            image = load(dict(frame, img_path=path))['img']
            tile = draw_tile(image, objects_of_records(frame['instances']), painter, tile_width)
            write_caption(tile, f'{video["video_id"]}: {index}')
            tiles.append(tile)
        rows.append(np.hstack(tiles))
    return np.vstack(rows)
