"""Ground truth of a single video out of an annotation file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from mmdevis.evaluation.functional import VISFormatError
from mmdevis.evaluation.functional.ytvis_format import check_ground_truth
from mmdevis.structures import Track


@dataclass(frozen=True)
class VideoTruth:
    """What is known of one video.

    Attributes:
        name: Folder of its frames.
        video_id: Its `id` in the annotation file.
        size: (H, W).
        class_names: Name of each label of the tracks.
        category_ids: `id` of each label in the annotation file.
        tracks: The objects, numbered from 0, with their masks.
    """

    name: str
    video_id: int
    size: tuple[int, int]
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    tracks: list[Track]

    def categories_of(self, class_names: tuple[str, ...]) -> tuple[int, ...]:
        """Finds the categories of a model's classes, by name.

        Args:
            class_names: Names by label.

        Returns:
            `id` of each.

        Raises:
            ValueError: The annotation file lacks a class.
        """
        known = dict(zip(self.class_names, self.category_ids))
        missing = [name for name in class_names if name not in known]
        if missing:
            raise ValueError(
                f'the ground truth has no category {", ".join(map(repr, missing[:5]))}; it has '
                f'{", ".join(map(repr, self.class_names[:10]))}. Name the classes of the model as '
                'it does (--class-names)'
            )
        return tuple(known[name] for name in class_names)


def read_video_truth(path: str | os.PathLike, name: str) -> VideoTruth:
    """Reads the objects of one video.

    Args:
        path: Annotation file in YouTube-VIS or OVIS format (`.json`).
        name: Name of the video: the folder of its frames, its `name`, or its `id`. If the file is
            about a single video, that one is taken whatever its name.

    Returns:
        The video.

    Raises:
        VISFormatError: The file is not json, not in the format, or has no such video.
        OSError: The file cannot be read.
    """
    try:
        content = json.loads(Path(path).read_text())
    except ValueError as error:
        raise VISFormatError(f'{path} cannot be read: {error}') from error
    if not isinstance(content, dict) or not isinstance(content.get('videos'), list):
        raise VISFormatError(f'{path} is no annotation file in YouTube-VIS format: no "videos"')
    video = _find(content['videos'], name, path)
    annotations = content.get('annotations')
    if annotations is not None:
        # A whole set takes long to check, and its other videos are of no concern here.
        annotations = [a for a in annotations if a.get('video_id') == video.get('id')]
    truth = check_ground_truth(
        dict(videos=[video], categories=content.get('categories'), annotations=annotations)
    )
    categories = sorted(truth['categories'], key=lambda category: category['id'])
    labels = {category['id']: label for label, category in enumerate(categories)}
    tracks = []
    for number, annotation in enumerate(truth['annotations']):
        masks = {i: m for i, m in enumerate(annotation['segmentations']) if m is not None}
        tracks.append(Track(number, labels[annotation['category_id']], 1.0, masks))
    return VideoTruth(
        name=_names(video)[0],
        video_id=video['id'],
        size=(int(video['height']), int(video['width'])),
        class_names=tuple(category['name'] for category in categories),
        category_ids=tuple(labels),
        tracks=tracks,
    )


def _names(video: dict) -> list[str]:
    files = video.get('file_names') or []
    folders = [Path(file).parent.name for file in files[:1]]
    return [str(n) for n in (*folders, video.get('name'), video.get('id')) if n not in (None, '')]


def _find(videos: list[dict], name: str, path: str | os.PathLike) -> dict:
    found = [video for video in videos if name in _names(video)]
    # A folder called like another video's number is still a folder.
    found = [video for video in found if name in _names(video)[:-1]] or found
    if not found and len(videos) == 1:
        found = videos
    if len(found) != 1:
        problem = f'{len(found)} videos' if found else 'no video'
        known = ', '.join(_names(video)[0] for video in videos[:8] if _names(video))
        more = ', ...' if len(videos) > 8 else ''
        raise VISFormatError(
            f'{path} has {problem} {name!r}. It has {known}{more}; say which one it is (--gt-video)'
        )
    return found[0]
