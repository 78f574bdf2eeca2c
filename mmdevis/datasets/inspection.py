"""Looking at a data set: counts, pictures that cannot be used, and a contact sheet."""

import os.path as osp
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils

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
    load = LoadFrame()
    rows = []
    for video in videos:
        chosen = np.linspace(0, video['video_length'] - 1, columns).round().astype(int)
        tiles = []
        for index in chosen:
            frame = video['images'][index]
            path = osp.join(folder, frame['file_name'])
            image = load(dict(frame, img_path=path))['img']
            for instance in frame['instances']:
                _draw(image, instance, classes[instance['bbox_label']])
            height = max(1, round(tile_width * image.shape[0] / image.shape[1]))
            tile = cv2.resize(image, (tile_width, height), interpolation=cv2.INTER_AREA)
            _write(tile, f'{video["video_id"]}: {index}', (4, 12), (255, 255, 255))
            tiles.append(tile)
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def _draw(image: np.ndarray, instance: Mapping, name: str) -> None:
    # Steps of the golden ratio keep the hues of neighbouring numbers apart.
    hue = int(180 * (instance['instance_id'] * 0.618034 % 1))
    pixel = cv2.cvtColor(np.uint8([[[hue, 220, 255]]]), cv2.COLOR_HSV2BGR)[0, 0]
    mask = mask_utils.decode(instance['mask']) > 0
    image[mask] = image[mask] // 2 + pixel // 2
    outline, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    colour = tuple(map(int, pixel))
    cv2.drawContours(image, outline, -1, colour, 1)
    x, y = (int(value) for value in instance['bbox'][:2])
    _write(image, f'{instance["instance_id"]} {name}', (x, max(10, y - 2)), colour)


def _write(image: np.ndarray, text: str, place: tuple[int, int], colour: tuple) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(image, text, place, font, 0.4, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(image, text, place, font, 0.4, colour, 1, cv2.LINE_AA)
