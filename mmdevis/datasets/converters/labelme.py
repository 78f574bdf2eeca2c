"""labelme annotations of video frames -> YouTube-VIS json.

Layout: one folder per video with the frames and, where something was annotated, a json of the same
name beside the frame.
"""

import base64
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from ..errors import AnnotationError
from .builder import IMAGE_SUFFIXES, YTVISBuilder, natural_key, polygons_to_rle


def labelme_to_ytvis(
    root: str | Path,
    classes: Sequence[str] | None = None,
    progress: Callable[[Iterable], Iterable] = lambda items: items,
) -> dict[str, Any]:
    """Convert a folder of videos annotated with labelme.

    A track is what has the same `group_id` in a video. Shapes with one `group_id` in one frame are
    pieces of one object. Without `group_id` the label names the track, so it may occur once per
    frame. Frames without a json have no object. Polygons, rectangles, circles and masks are read.

    Args:
        root (str | Path): Folder with one folder per video, or with the frames of one video.
        classes (Sequence[str], optional): Category names in the order of their ids. Default: those
            that occur.
        progress (Callable): Wraps the list of video folders, for example `tqdm.tqdm`.

    Returns:
        dict: YouTube-VIS json; `file_names` are relative to `root`.

    Raises:
        AnnotationError: If something cannot be read; names file, shape and key.
    """
    root = Path(root)
    folders = sorted((p for p in root.iterdir() if p.is_dir()), key=lambda p: natural_key(p.name))
    folders = [folder for folder in [root, *folders] if _frames(folder)]
    if not folders:
        raise AnnotationError(f'{root}: has no images, neither itself nor in its folders.')
    builder = YTVISBuilder(classes)
    for folder in progress(folders):
        _add_video(builder, root, folder)
    return builder.build()


def _frames(folder: Path) -> list[Path]:
    images = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(images, key=lambda p: natural_key(p.name))


def _add_video(builder: YTVISBuilder, root: Path, folder: Path) -> None:
    frames = _frames(folder)
    stray = {p.stem for p in folder.glob('*.json')} - {p.stem for p in frames}
    if stray:
        raise AnnotationError(f'{folder / sorted(stray)[0]}.json: there is no image of this name.')
    image = cv2.imread(str(frames[0]))
    if image is None:
        raise AnnotationError(f'{frames[0]}: cannot be read as an image.')
    height, width = image.shape[:2]
    names = [frame.relative_to(root).as_posix() for frame in frames]
    video_id = builder.add_video(names, height, width)
    for index, frame in enumerate(frames):
        path = frame.with_suffix('.json')
        if path.exists():
            _add_frame(builder, video_id, index, path, height, width)


def _add_frame(
    builder: YTVISBuilder, video_id: int, index: int, path: Path, height: int, width: int
) -> None:
    try:
        data = json.loads(path.read_text())
        shapes = data['shapes']
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise AnnotationError(f'{path}: is no labelme file with "shapes" ({error!r}).') from error
    size = (data.get('imageHeight') or height, data.get('imageWidth') or width)
    if size != (height, width):
        raise AnnotationError(
            f'{path}: "imageHeight", "imageWidth": {size} differs from the first frame of the '
            f'video, {(height, width)}. All frames of a video must be of one size.'
        )
    anonymous = set()
    for number, shape in enumerate(shapes):
        label, group = shape.get('label'), shape.get('group_id')
        where = f'{path}: shape {number} ({label})'
        if group is None:
            if label in anonymous:
                raise AnnotationError(
                    f'{where}: "group_id": two shapes of this label and no group_id. Give each '
                    'object a number, the same in all frames.'
                )
            anonymous.add(label)
        track = ('label', label) if group is None else ('group', group)
        rle = _shape_to_rle(shape, height, width, where)
        builder.add_object(video_id, track, label, index, rle, where)


def _shape_to_rle(shape: dict, height: int, width: int, where: str) -> dict:
    kind = shape.get('shape_type') or 'polygon'
    points = [tuple(map(float, point)) for point in shape.get('points', [])]
    if kind == 'polygon' and len(points) >= 3:
        return polygons_to_rle([np.ravel(points)], height, width)
    if kind == 'rectangle' and len(points) == 2:
        (x1, y1), (x2, y2) = points
        return polygons_to_rle([[x1, y1, x2, y1, x2, y2, x1, y2]], height, width)
    if kind == 'circle' and len(points) == 2:
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        ring = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1)
        return polygons_to_rle([ring.ravel()], height, width)
    if kind == 'mask' and points and shape.get('mask'):
        data = np.frombuffer(base64.b64decode(shape['mask']), np.uint8)
        small = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        if small is not None:
            return _place_mask(small, points[0], height, width)
    raise AnnotationError(
        f'{where}: "shape_type": a {kind} with {len(points)} points has no area that can be read; '
        'expected a polygon of >= 3 points, a rectangle, a circle or a mask.'
    )


def _place_mask(small: np.ndarray, corner: Sequence[float], height: int, width: int) -> dict:
    """Put a mask (h, w) with its top left at `corner` (x, y) into a frame."""
    left, top = (int(round(value)) for value in corner)
    full = np.zeros((height, width), np.uint8)
    part = small[max(0, -top) : height - top, max(0, -left) : width - left] > 0
    top, left = max(0, top), max(0, left)
    full[top : top + part.shape[0], left : left + part.shape[1]] = part
    return mask_utils.encode(np.asfortranarray(full))
