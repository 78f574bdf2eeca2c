"""Collecting objects frame by frame into a YouTube-VIS json."""

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from pycocotools import mask as mask_utils

from ..errors import AnnotationError

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


def natural_key(name: str) -> list:
    """Sorting key by which `frame10.jpg` comes after `frame9.jpg`."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', str(name))]


class YTVISBuilder:
    """Builds a YouTube-VIS json from objects in any order.

    Args:
        classes (Sequence[str], optional): Category names in the order of their ids (from 1).
            Default: those that occur, by name.
    """

    def __init__(self, classes: Sequence[str] | None = None) -> None:
        self._classes = None if classes is None else list(classes)
        self._videos: list[dict] = []
        self._tracks: dict[tuple, dict] = {}

    def add_video(self, file_names: Sequence[str], height: int, width: int) -> int:
        """Add a video.

        Args:
            file_names (Sequence[str]): Paths of its frames, in order.
            height (int): Height of the frames in pixels.
            width (int): Width of the frames in pixels.

        Returns:
            int: Id of the video, for `add_object`.
        """
        video = {
            'id': len(self._videos) + 1,
            'height': int(height),
            'width': int(width),
            'length': len(file_names),
            'file_names': list(file_names),
        }
        self._videos.append(video)
        return video['id']

    def add_object(
        self, video_id: int, track: Hashable, label: str, frame: int, rle: dict, where: str
    ) -> None:
        """Add what is seen of a track in a frame; several pieces of a track are joined.

        Args:
            video_id (int): Of `add_video`.
            track (Hashable): Names the track within the video.
            label (str): Category name.
            frame (int): Index of the frame.
            rle (dict): Run-length code of the size of the video, as pycocotools makes it.
            where (str): File and shape, for messages.

        Raises:
            AnnotationError: If the category is none of the classes, the track had another one
                before, or the frame does not exist; names `where`.
        """
        length = self._videos[video_id - 1]['length']
        if not 0 <= frame < length:
            raise AnnotationError(f'{where}: frame {frame} of a video of {length} frames.')
        if self._classes is not None and label not in self._classes:
            known = ', '.join(self._classes)
            raise AnnotationError(f'{where}: category {label!r} is none of the classes: {known}.')
        new = {'label': label, 'masks': [None] * length}
        entry = self._tracks.setdefault((video_id, track), new)
        if entry['label'] != label:
            raise AnnotationError(
                f'{where}: track {track} is a {label!r} here but a {entry["label"]!r} in another '
                'frame. A track has one category.'
            )
        before = entry['masks'][frame]
        entry['masks'][frame] = rle if before is None else mask_utils.merge([before, rle])

    def build(self) -> dict[str, Any]:
        """Put everything together.

        Returns:
            dict: YouTube-VIS json with compressed run-length codes.

        Raises:
            AnnotationError: If there is no video.
        """
        if not self._videos:
            raise AnnotationError('There is no video in the source.')
        classes = self._classes
        if classes is None:
            classes = sorted({track['label'] for track in self._tracks.values()})
        ids = {name: number for number, name in enumerate(classes, 1)}
        annotations = [
            self._annotation(number, video_id, ids[track['label']], track['masks'])
            for number, ((video_id, _), track) in enumerate(self._tracks.items(), 1)
        ]
        return {
            'info': {},
            'videos': self._videos,
            'categories': [{'id': number, 'name': name} for name, number in ids.items()],
            'annotations': annotations,
        }

    def _annotation(self, number: int, video_id: int, category: int, masks: list) -> dict:
        video = self._videos[video_id - 1]
        return {
            'id': number,
            'video_id': video_id,
            'category_id': category,
            'iscrowd': 0,
            'height': video['height'],
            'width': video['width'],
            'length': video['length'],
            'segmentations': [mask and _as_text(mask) for mask in masks],
            'bboxes': [mask and mask_utils.toBbox(mask).tolist() for mask in masks],
            'areas': [mask and int(mask_utils.area(mask)) for mask in masks],
        }


def polygons_to_rle(polygons: Iterable[Sequence[float]], height: int, width: int) -> dict:
    """Fill polygons.

    Args:
        polygons (Iterable[Sequence[float]]): Each x1, y1, x2, y2, ... in pixels, >= 3 points.
        height (int): Height of the frame in pixels.
        width (int): Width of the frame in pixels.

    Returns:
        dict: Compressed run-length code.
    """
    polygons = [list(map(float, polygon)) for polygon in polygons]
    return mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))


def _as_text(rle: dict) -> dict:
    counts = rle['counts']
    text = counts.decode() if isinstance(counts, bytes) else counts
    return {'size': [int(size) for size in rle['size']], 'counts': text}
