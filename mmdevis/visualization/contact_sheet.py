"""Contact sheets: frames of a video in a grid, groups of them side by side."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

from mmdevis.utils.pending_file import whole_file

from .track_painter import TrackPainter

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BACKGROUND = 24
_GAP = 4


def choose_frames(length: int, count: int | None) -> list[int]:
    """Evenly spaced frames of a video, the first and the last among them.

    Args:
        length: Frames of the video.
        count: How many are wanted; None takes all, and so does a number beyond `length`.

    Returns:
        Ascending frame indices, none twice.

    Raises:
        ValueError: If `count` is not positive.
    """
    if count is not None and count < 1:
        raise ValueError(f'expected at least one frame, got {count}')
    if count is None or count >= length:
        return list(range(length))
    return np.linspace(0, length - 1, count).round().astype(int).tolist()


def draw_tile(
    frame: np.ndarray, objects: InstanceData | None, painter: TrackPainter, width: int
) -> np.ndarray:
    """Draw a frame with its objects at the size of a tile, so that text stays legible.

    Args:
        frame: uint8 (H, W, 3), BGR.
        objects: `instances_id`, `labels`, `masks` (N, at the size of the frame) and maybe `scores`;
            None for none.
        painter: Draws them.
        width: Of the tile in pixels; its height keeps the proportions.

    Returns:
        uint8 (h, width, 3), BGR.
    """
    height = max(1, round(width * frame.shape[0] / frame.shape[1]))
    shrinks = width < frame.shape[1]
    tile = cv2.resize(
        frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
    if objects is None or len(objects) == 0:
        return tile
    masks = [_resized(mask, frame.shape[:2], (width, height)) for mask in _masks(objects)]
    return painter.paint(
        tile, objects.instances_id, objects.labels, np.stack(masks), objects.get('scores')
    )


def _masks(objects: InstanceData) -> Sequence[Any]:
    return getattr(objects.masks, 'masks', objects.masks)


def _resized(mask: Any, shape: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """RLE dict, array or tensor to uint8 (height, width) at `size`, (width, height)."""
    if isinstance(mask, dict):
        mask = mask_utils.decode(mask)
    elif hasattr(mask, 'detach'):
        mask = mask.detach().cpu().numpy()
    mask = np.asarray(mask, dtype=np.uint8)
    if mask.shape != shape:
        raise ValueError(f'mask is {mask.shape}, the frame {shape} (height, width)')
    return cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)


def write_caption(picture: np.ndarray, text: str) -> None:
    """Write into the lower left corner of a picture, legible on any background, in place."""
    place = (4, picture.shape[0] - 6)
    text = text.encode('ascii', 'replace').decode()  # OpenCV's font has nothing else
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(picture, text, place, _FONT, 0.4, colour, thickness, cv2.LINE_AA)


def contact_sheet(
    groups: Mapping[str, Sequence[np.ndarray]], captions: Sequence[str], columns: int | None = None
) -> np.ndarray:
    """Put pictures of the same frames side by side, each group in a grid under its title.

    Args:
        groups: Pictures by title, such as 'prediction' and 'ground truth': N each, uint8
            (h, w, 3) BGR, all of one size.
        captions: N texts, written into the pictures: numbers of the frames.
        columns: Of the grid of each group; None makes grids about as wide as high.

    Returns:
        uint8 (H, W, 3), BGR.

    Raises:
        ValueError: If there is no picture, or numbers or sizes differ.
    """
    pictures = [picture for group in groups.values() for picture in group]
    if not pictures:
        raise ValueError('a contact sheet needs at least one picture')
    if {len(group) for group in groups.values()} != {len(captions)}:
        counts = {title: len(group) for title, group in groups.items()}
        raise ValueError(f'{len(captions)} captions for {counts} pictures')
    shapes = {picture.shape for picture in pictures}
    if len(shapes) > 1:
        raise ValueError(f'pictures have different shapes: {sorted(shapes)}')
    height, width = pictures[0].shape[:2]
    if columns is None:
        columns = _square(len(captions), height, width)
    columns = max(1, min(columns, len(captions)))
    blocks = [_grid(group, captions, columns) for group in groups.values()]
    blocks = [_titled(block, title) for block, title in zip(blocks, groups)]
    gap = np.full((blocks[0].shape[0], 3 * _GAP, 3), _BACKGROUND, np.uint8)
    joined = [part for block in blocks for part in (gap, block)]
    return np.hstack(joined[1:])


def _square(count: int, height: int, width: int) -> int:
    """Columns of a grid that is about as wide as high and has few empty cells."""

    def misfit(columns: int) -> float:
        rows = math.ceil(count / columns)
        empty = rows * columns - count
        return abs(math.log(columns * width / (rows * height))) + empty / count

    return min(range(1, count + 1), key=misfit)


def _grid(pictures: Sequence[np.ndarray], captions: Sequence[str], columns: int) -> np.ndarray:
    height, width = pictures[0].shape[:2]
    rows = math.ceil(len(pictures) / columns)
    size = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3)
    sheet = np.full(size, _BACKGROUND, np.uint8)
    for index, (picture, caption) in enumerate(zip(pictures, captions)):
        top, left = index // columns * (height + _GAP), index % columns * (width + _GAP)
        cell = sheet[top : top + height, left : left + width]
        cell[:] = picture
        write_caption(cell, caption)
    return sheet


def _titled(block: np.ndarray, title: str, bar: int = 24) -> np.ndarray:
    if not title:
        return block
    strip = np.full((bar, block.shape[1], 3), _BACKGROUND, np.uint8)
    title = title.encode('ascii', 'replace').decode()
    cv2.putText(strip, title, (6, bar - 8), _FONT, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([strip, block])


def write_picture(picture: np.ndarray, path: str | os.PathLike) -> None:
    """Write a picture; the file appears when it is complete.

    Args:
        picture: uint8 (H, W, 3), BGR.
        path: The file; the ending chooses the format. Its folder is made if needed.

    Raises:
        OSError: If it cannot be written.
    """
    with whole_file(path) as temporary:
        try:
            written = cv2.imwrite(str(temporary), picture)
        except cv2.error as error:
            raise OSError(f'{path} cannot be written, is the ending that of pictures?') from error
        if not written:
            raise OSError(f'{path} cannot be written.')
