"""Checks YouTube-VIS ground truth and results and names what is wrong with them.

The evaluator works on plain YouTube-VIS dictionaries. Everything that it would turn into a silent
zero (unknown ids, masks of another size, too few frames) is refused here with the place of the
fault.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from pycocotools import mask as mask_utils


class VISFormatError(ValueError):
    """Ground truth or results that are not what the YouTube-VIS format asks for."""


def _some(values: Iterable[Any], limit: int = 6) -> str:
    values = list(values)
    shown = ', '.join(repr(v) for v in values[:limit])
    return shown + (f', ... ({len(values)} in all)' if len(values) > limit else '')


def _index(entries: Sequence[dict], what: str, keys: Sequence[str]) -> dict[Hashable, dict]:
    """Maps id to entry.

    Raises:
        VISFormatError: An entry lacks one of `keys`, or an id occurs twice.
    """
    by_id: dict[Hashable, dict] = {}
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise VISFormatError(
                f'{what}[{position}] is a {type(entry).__name__}, expected an object (dict)'
            )
        for key in keys:
            if key not in entry:
                raise VISFormatError(
                    f"{what}[{position}] has no key '{key}'; it has {_some(entry)}"
                )
        if entry['id'] in by_id:
            raise VISFormatError(f"id {entry['id']!r} occurs twice in '{what}'; ids must be unique")
        by_id[entry['id']] = entry
    return by_id


def video_length(video: dict) -> int | None:
    """Number of frames of a video entry.

    Args:
        video: Entry of `videos`.

    Returns:
        `length`, or else the number of `file_names`, or None where the entry says neither.
    """
    if video.get('length') is not None:
        return int(video['length'])
    if video.get('file_names') is not None:
        return len(video['file_names'])
    return None


def _checked_segmentations(
    entry: dict, video: dict, num_frames: int | None, where: str, polygons: bool
) -> list[dict | None]:
    """Returns one compressed RLE, or None, per frame.

    Args:
        entry: Annotation or result with `segmentations`.
        video: The video entry, for the frame size.
        num_frames: Length that the list must have; None where it is not known.
        where: How messages call the entry.
        polygons: Whether lists of polygons are allowed, as in ground truth.

    Raises:
        VISFormatError: Another number of frames, not an RLE, or another size than the video's.
    """
    segmentations = entry['segmentations']
    if not isinstance(segmentations, (list, tuple)):
        raise VISFormatError(
            f"{where}: 'segmentations' is a {type(segmentations).__name__}, expected a list with "
            'one RLE or null per frame'
        )
    if num_frames is not None and len(segmentations) != num_frames:
        raise VISFormatError(
            f"{where}: 'segmentations' has {len(segmentations)} entries but video {video['id']!r} "
            f'has {num_frames} frames; every frame needs an entry (null where the object is absent)'
        )
    height, width = video['height'], video['width']
    checked: list[dict | None] = []
    for frame, segmentation in enumerate(segmentations):
        if not segmentation:
            checked.append(None)
            continue
        if polygons and isinstance(segmentation, list):
            parts = mask_utils.frPyObjects(segmentation, height, width)
            checked.append(mask_utils.merge(parts))
            continue
        if not isinstance(segmentation, dict) or not {'size', 'counts'} <= segmentation.keys():
            raise VISFormatError(
                f"{where}, frame {frame}: expected a run-length mask {{'size', 'counts'}} or null, "
                f'got {str(segmentation)[:60]!r}'
            )
        if tuple(segmentation['size']) != (height, width):
            raise VISFormatError(
                f'{where}, frame {frame}: the mask has size {tuple(segmentation["size"])} (height, '
                f'width) but video {video["id"]!r} has {(height, width)}; masks must be at the '
                'original size of the video'
            )
        if isinstance(segmentation['counts'], list):
            segmentation = mask_utils.frPyObjects(segmentation, height, width)
        checked.append(segmentation)
    return checked


def check_ground_truth(gt: dict) -> dict:
    """Checks ground truth in YouTube-VIS format and returns a copy that the evaluator may change.

    Annotation ids become 1, 2, ...: the evaluator marks "no match" by 0, and MMDetection's data
    sets number the objects of each video from their own start.

    Args:
        gt: Dict with `videos` (`id`, `height`, `width`, and `length` or `file_names`), `categories`
            (`id`, `name`) and `annotations` (`id`, `video_id`, `category_id`, `segmentations`;
            optional `areas`, `bboxes`, `iscrowd`, `occlusion`).

    Returns:
        The copy; every segmentation is a compressed RLE or None.

    Raises:
        VISFormatError: A key is missing, annotations are null, an id is unknown or occurs twice, a
            mask has another size than its video, or another number of frames.
    """
    if not isinstance(gt, dict):
        raise VISFormatError(
            f'ground truth is a {type(gt).__name__}, expected an object with videos, categories '
            'and annotations (is this a results file?)'
        )
    for key in ('videos', 'categories', 'annotations'):
        if gt.get(key) is None:
            state = 'is null' if key in gt else 'is missing'
            hint = (
                '. The public validation sets of YouTube-VIS and OVIS come without annotations: '
                'upload the submission file to their server, or score on a split that has them'
                if key == 'annotations'
                else ''
            )
            raise VISFormatError(f"ground truth: '{key}' {state}{hint}")
    videos = _index(gt['videos'], 'videos', ('id', 'height', 'width'))
    categories = _index(gt['categories'], 'categories', ('id', 'name'))
    _index(gt['annotations'], 'annotations', ('id', 'video_id', 'category_id', 'segmentations'))

    annotations = []
    for number, annotation in enumerate(gt['annotations'], start=1):
        where = f'ground truth annotation {annotation["id"]!r}'
        if annotation['video_id'] not in videos:
            raise VISFormatError(
                f"{where}: video_id {annotation['video_id']!r} is not in 'videos' ({_some(videos)})"
            )
        if annotation['category_id'] not in categories:
            raise VISFormatError(
                f"{where}: category_id {annotation['category_id']!r} is not in 'categories' "
                f'({_some(categories)})'
            )
        video = videos[annotation['video_id']]
        segmentations = _checked_segmentations(
            annotation, video, video_length(video), where, polygons=True
        )
        areas = annotation.get('areas')
        if areas is None:
            areas = [None if s is None else int(mask_utils.area(s)) for s in segmentations]
        annotations.append(
            {
                **annotation,
                'id': number,
                'segmentations': segmentations,
                'areas': list(areas),
                'iscrowd': int(annotation.get('iscrowd') or 0),
            }
        )
    return {'videos': gt['videos'], 'categories': gt['categories'], 'annotations': annotations}


def check_results(results: Sequence[dict], gt: dict) -> list[dict]:
    """Checks results in YouTube-VIS format against checked ground truth and returns a copy.

    Args:
        results: One dict per predicted track: `video_id`, `category_id`, `score` and
            `segmentations` (one RLE or None per frame).
        gt: What `check_ground_truth` returned.

    Returns:
        The copy, with only these four keys.

    Raises:
        VISFormatError: A key is missing, a video or category is unknown, a score is not a finite
            number, a mask has another size than its video, or another number of frames.
    """
    if not isinstance(results, (list, tuple)):
        raise VISFormatError(
            f'results are a {type(results).__name__}, expected a list with one entry per track '
            '(is this an annotation file?)'
        )
    videos = {video['id']: video for video in gt['videos']}
    lengths = {video_id: video_length(video) for video_id, video in videos.items()}
    for annotation in gt['annotations']:
        if lengths[annotation['video_id']] is None:
            lengths[annotation['video_id']] = len(annotation['segmentations'])
    category_ids = [category['id'] for category in gt['categories']]
    known = set(category_ids)

    checked = []
    for position, result in enumerate(results):
        where = f'results[{position}]'
        if not isinstance(result, dict):
            raise VISFormatError(f'{where} is a {type(result).__name__}, expected an object (dict)')
        for key in ('video_id', 'category_id', 'score', 'segmentations'):
            if key not in result:
                raise VISFormatError(f"{where} has no key '{key}'; it has {_some(result)}")
        video_id, category_id, score = (result[k] for k in ('video_id', 'category_id', 'score'))
        if video_id not in videos:
            raise VISFormatError(
                f'{where}: video_id {video_id!r} is not in the ground truth ({_some(videos)})'
            )
        if category_id not in known:
            raise VISFormatError(
                f'{where}: category_id {category_id!r} is not in the ground truth '
                f'({_some(category_ids)})'
            )
        if not isinstance(score, (int, float)) or not math.isfinite(score):
            raise VISFormatError(f'{where}: score {score!r} is not a finite number')
        checked.append(
            {
                'video_id': video_id,
                'category_id': category_id,
                'score': float(score),
                'segmentations': _checked_segmentations(
                    result, videos[video_id], lengths[video_id], where, polygons=False
                ),
            }
        )
    return checked
