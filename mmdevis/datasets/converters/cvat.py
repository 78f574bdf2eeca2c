"""CVAT's xml (`CVAT for images 1.1` and `CVAT for video 1.1`) -> YouTube-VIS json."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from pycocotools import mask as mask_utils

from ..errors import AnnotationError
from .builder import YTVISBuilder, natural_key, polygons_to_rle


def cvat_to_ytvis(
    files: Sequence[str | Path],
    classes: Sequence[str] | None = None,
    track_attribute: str | None = None,
    frame_name: str = 'frame_{:06d}.PNG',
    progress: Callable[[Iterable], Iterable] = lambda items: items,
) -> dict[str, Any]:
    """Convert xml files exported by CVAT.

    *For images 1.1*: the images of one folder of a file are a video, in the natural order of their
    names. A track is what has the same `group_id`, or the same value of an attribute.

    *For video 1.1*: one file is one video, and its tracks are the tracks. Frames in which a track
    is not listed or is outside have no object. The file has no names of frames, so they come from
    `frame_name` and the name of the task.

    Polygons, masks and boxes are read.

    Args:
        files (Sequence[str | Path]): The xml files.
        classes (Sequence[str], optional): Category names in the order of their ids. Default: those
            that occur.
        track_attribute (str, optional): Attribute that holds the track's number (for images).
            Default: `group_id`.
        frame_name (str): Format of the frames' names (for video).
        progress (Callable): Wraps the list of files, for example `tqdm.tqdm`.

    Returns:
        dict: YouTube-VIS json.

    Raises:
        AnnotationError: If something cannot be read; names file, image and shape.
    """
    builder = YTVISBuilder(classes)
    for path in progress(list(files)):
        try:
            root = ElementTree.parse(path).getroot()
        except ElementTree.ParseError as error:
            raise AnnotationError(f'{path}: is not valid xml (truncated?): {error}') from error
        if root.tag != 'annotations':
            raise AnnotationError(f'{path}: <{root.tag}>: expected <annotations>, as CVAT exports.')
        try:
            _add_file(builder, root, str(path), track_attribute, frame_name)
        except AnnotationError:
            raise
        except (TypeError, ValueError, AttributeError) as error:
            raise AnnotationError(
                f'{path}: an attribute is missing or is no number ({error}). Export it again.'
            ) from error
    return builder.build()


def _add_file(
    builder: YTVISBuilder,
    root: ElementTree.Element,
    path: str,
    track_attribute: str | None,
    frame_name: str,
) -> None:
    if root.find('image') is not None:
        _add_images(builder, root, path, track_attribute)
    elif root.find('track') is not None:
        _add_tracks(builder, root, path, frame_name)
    else:
        raise AnnotationError(f'{path}: has neither <image> nor <track>: nothing is annotated.')


def _add_images(
    builder: YTVISBuilder, root: ElementTree.Element, path: str, attribute: str | None
) -> None:
    videos = defaultdict(list)
    for image in root.iter('image'):
        videos[image.get('name', '').rpartition('/')[0]].append(image)
    for images in videos.values():
        images.sort(key=lambda image: natural_key(image.get('name', '')))
        height, width = int(images[0].get('height')), int(images[0].get('width'))
        video_id = builder.add_video([image.get('name') for image in images], height, width)
        for index, image in enumerate(images):
            place = f'{path}: image {image.get("name")}'
            size = int(image.get('height')), int(image.get('width'))
            if size != (height, width):
                raise AnnotationError(
                    f'{place}: is {size}, but the first image of the video is {(height, width)}. '
                    'All frames of a video must be of one size.'
                )
            for number, shape in enumerate(_shapes(image)):
                where = f'{place}, shape {number} ({shape.get("label")})'
                track = _track_of(shape, attribute, where)
                rle = _shape_to_rle(shape, height, width, where)
                builder.add_object(video_id, track, shape.get('label'), index, rle, where)


def _track_of(shape: ElementTree.Element, attribute: str | None, where: str) -> str:
    value = shape.get('group_id')
    if attribute is not None:
        value = next(
            (a.text for a in shape.iter('attribute') if a.get('name') == attribute and a.text), None
        )
    if value is None:
        name = 'group_id' if attribute is None else f'attribute {attribute!r}'
        raise AnnotationError(
            f'{where}: has no {name}. Every object needs one, the same in all frames of a video '
            '(CVAT: group shapes, or annotate tracks and export "CVAT for video 1.1").'
        )
    return value


def _add_tracks(
    builder: YTVISBuilder, root: ElementTree.Element, path: str, frame_name: str
) -> None:
    size = root.find('meta//original_size')
    task = next((t for t in (root.find('meta/task'), root.find('meta/job')) if t is not None), None)
    if size is None or task is None or task.findtext('size') is None:
        raise AnnotationError(
            f'{path}: <meta>: lacks <size> or <original_size>; expected "CVAT for video 1.1".'
        )
    height, width = int(size.findtext('height')), int(size.findtext('width'))
    name = (task.findtext('name') or Path(path).stem).strip().replace('/', '_')
    length = int(task.findtext('size'))
    first = int(task.findtext('start_frame') or 0)
    frames = [f'{name}/{frame_name.format(first + index)}' for index in range(length)]
    video_id = builder.add_video(frames, height, width)
    for track in root.iter('track'):
        for shape in _shapes(track):
            if shape.get('outside') == '1':
                continue
            frame = int(shape.get('frame')) - first
            where = f'{path}: track {track.get("id")} ({track.get("label")}), frame {frame}'
            rle = _shape_to_rle(shape, height, width, where)
            builder.add_object(video_id, track.get('id'), track.get('label'), frame, rle, where)


def _shapes(parent: ElementTree.Element) -> list[ElementTree.Element]:
    return [child for child in parent if child.tag not in ('attribute', 'tag')]


def _shape_to_rle(shape: ElementTree.Element, height: int, width: int, where: str) -> dict:
    if shape.tag == 'polygon':
        points = [float(v) for pair in shape.get('points').split(';') for v in pair.split(',')]
        if len(points) >= 6:
            return polygons_to_rle([points], height, width)
    elif shape.tag == 'box':
        x1, y1, x2, y2 = (float(shape.get(key)) for key in ('xtl', 'ytl', 'xbr', 'ybr'))
        return polygons_to_rle([[x1, y1, x2, y1, x2, y2, x1, y2]], height, width)
    elif shape.tag == 'mask':
        return _mask_to_rle(shape, height, width, where)
    raise AnnotationError(
        f'{where}: a {shape.tag} has no area that can be read; expected polygon, mask or box.'
    )


def _mask_to_rle(shape: ElementTree.Element, height: int, width: int, where: str) -> dict:
    """Decode CVAT's mask: runs of 0, 1, 0, ... row by row within the mask's own box."""
    left, top, w, h = (int(float(shape.get(key))) for key in ('left', 'top', 'width', 'height'))
    runs = [int(run) for run in shape.get('rle').split(',')]
    if sum(runs) != w * h or left < 0 or top < 0 or left + w > width or top + h > height:
        raise AnnotationError(
            f'{where}: mask of {sum(runs)} pixels at ({left}, {top}), size {w} x {h}, does not fit '
            f'into its box or the image ({width} x {height}).'
        )
    values = np.arange(len(runs), dtype=np.uint8) % 2
    full = np.zeros((height, width), np.uint8)
    full[top : top + h, left : left + w] = np.repeat(values, runs).reshape(h, w)
    return mask_utils.encode(np.asfortranarray(full))
