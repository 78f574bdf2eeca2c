"""MOTS PNG (MOT with masks, as CVAT exports it) -> YouTube-VIS json.

Layout: `images/` with the frames, `instances/` with a 16-bit PNG of the same name per annotated
frame and `instances/labels.txt`. A pixel's value is 1000 * class + track; class c is line c of
`labels.txt` (from 1), 0 is background, and class 10 means "ignore" where there are fewer classes.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from ..errors import AnnotationError
from .builder import IMAGE_SUFFIXES, YTVISBuilder, natural_key

IGNORED_CLASS = 10


def mots_to_ytvis(
    folders: Sequence[str | Path],
    progress: Callable[[Iterable], Iterable] = lambda items: items,
) -> dict[str, Any]:
    """Convert folders in MOTS PNG format, one per video.

    Args:
        folders (Sequence[str | Path]): Folders with `images/` and `instances/`.
        progress (Callable): Wraps the list of folders, for example `tqdm.tqdm`.

    Returns:
        dict: YouTube-VIS json; `file_names` are `<folder>/images/<frame>`, relative to the parent
        of the folder.

    Raises:
        AnnotationError: If something cannot be read, or the folders' labels differ.
    """
    folders = [Path(folder) for folder in folders]
    labels = _labels(folders[0])
    builder = YTVISBuilder(labels)
    for folder in progress(folders):
        if _labels(folder) != labels:
            raise AnnotationError(
                f'{folder / "instances/labels.txt"}: differs from that of {folders[0]}. All videos '
                'of a data set need the same labels.'
            )
        _add_video(builder, folder, labels)
    return builder.build()


def _labels(folder: Path) -> list[str]:
    path = folder / 'instances/labels.txt'
    if not path.exists():
        raise AnnotationError(f'{path}: does not exist; expected one class name per line.')
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def _add_video(builder: YTVISBuilder, folder: Path, labels: list[str]) -> None:
    images = folder / 'images'
    frames = [p for p in images.glob('*') if p.suffix.lower() in IMAGE_SUFFIXES]
    frames.sort(key=lambda p: natural_key(p.name))
    if not frames:
        raise AnnotationError(f'{images}: has no images.')
    first = cv2.imread(str(frames[0]))
    if first is None:
        raise AnnotationError(f'{frames[0]}: cannot be read as an image.')
    height, width = first.shape[:2]
    names = [f'{folder.name}/images/{frame.name}' for frame in frames]
    video_id = builder.add_video(names, height, width)
    for index, frame in enumerate(frames):
        path = folder / 'instances' / f'{frame.stem}.png'
        if path.exists():
            values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if values is None or values.shape != (height, width):
                shape = None if values is None else values.shape
                raise AnnotationError(
                    f'{path}: expected one 16-bit channel of {height} x {width}, but it is {shape}.'
                )
            _add_frame(builder, video_id, index, values, labels, path)


def _add_frame(
    builder: YTVISBuilder,
    video_id: int,
    index: int,
    values: np.ndarray,
    labels: list[str],
    path: Path,
) -> None:
    for value in np.unique(values).tolist():
        category, track = divmod(value, 1000)
        ignored = category == IGNORED_CLASS and len(labels) < IGNORED_CLASS
        if value == 0 or ignored:
            continue
        if not 1 <= category <= len(labels):
            raise AnnotationError(
                f'{path}: value {value} is of class {category}, but labels.txt has {len(labels)} '
                'lines. Expected 1000 * class + track.'
            )
        rle = mask_utils.encode(np.asfortranarray((values == value).astype(np.uint8)))
        where = f'{path}: value {value}'
        builder.add_object(video_id, track, labels[category - 1], index, rle, where)
