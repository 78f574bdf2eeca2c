"""Draws tracks into frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from .palette import track_colour

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def _array(values: Any) -> np.ndarray:
    """Tensor on any device, array or list to array."""
    if hasattr(values, 'detach'):
        values = values.detach().cpu().numpy()
    return np.asarray(values)


def _text_colour(background: Sequence[int]) -> tuple[int, int, int]:
    blue, green, red = background
    bright = 0.114 * blue + 0.587 * green + 0.299 * red > 140
    return (0, 0, 0) if bright else (255, 255, 255)


class TrackPainter:
    """Draws masks, boxes, class, score and number of tracks, each track in its own colour.

    A track has the same colour in every frame, every run and every process: it only depends on the
    track's number.

    Args:
        class_names: Name of every class by label; labels beyond it are shown as `class <label>`.
        alpha: Opacity of masks in 0..1.
        score_thr: Objects with a smaller score are left out.
        draw_boxes: Whether to draw boxes.
        draw_labels: Whether to write number, class and score.
        min_side: Frames whose shorter side is smaller are enlarged by a whole factor until it is
            not, so that text is legible; 0 keeps every size.

    Raises:
        ValueError: If `alpha` is outside 0..1.
    """

    def __init__(
        self,
        class_names: Sequence[str] = (),
        alpha: float = 0.45,
        score_thr: float = 0.0,
        draw_boxes: bool = True,
        draw_labels: bool = True,
        min_side: int = 0,
    ) -> None:
        if not 0 <= alpha <= 1:
            raise ValueError(f'alpha must be in 0..1, got {alpha}')
        self.class_names = tuple(class_names)
        self.alpha = alpha
        self.score_thr = score_thr
        self.draw_boxes = draw_boxes
        self.draw_labels = draw_labels
        self.min_side = min_side

    def paint(
        self,
        frame: np.ndarray,
        track_ids: Sequence[int],
        labels: Sequence[int],
        masks: Sequence[dict] | np.ndarray,
        scores: Sequence[float] | None = None,
    ) -> np.ndarray:
        """Draws the objects of one frame.

        Args:
            frame: uint8 (H, W, 3), BGR. Not changed.
            track_ids: (N,) integers.
            labels: (N,) class of each object.
            masks: N RLE dicts, or a bool array or tensor (N, H, W), at the size of the frame.
                Objects with an empty mask are not drawn.
            scores: (N,) in 0..1, or None to write no score (ground truth).

        Returns:
            uint8 (k * H, k * W, 3), BGR, with k = 1 unless `min_side` asks for more.

        Raises:
            ValueError: If the frame is not uint8 (H, W, 3), the lengths differ, or a mask has
                another size than the frame.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(
                f'expected a uint8 frame (H, W, 3), got {frame.dtype} of shape {frame.shape}'
            )
        track_ids, labels = _array(track_ids), _array(labels)
        scores = None if scores is None else _array(scores)
        lengths = {len(v) for v in (track_ids, labels, masks, scores) if v is not None}
        if len(lengths) > 1:
            raise ValueError(f'track_ids, labels, masks and scores have lengths {sorted(lengths)}')

        factor = self._factor(frame.shape)
        canvas = frame.copy()
        if factor > 1:
            canvas = cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        objects = []
        for i in range(len(track_ids)):
            if scores is not None and scores[i] < self.score_thr:
                continue
            crop = self._crop(masks[i], frame.shape[:2])
            if crop is not None:
                text = self._text(track_ids[i], labels[i], None if scores is None else scores[i])
                objects.append((*crop, track_colour(track_ids[i]), text))
        # Large objects first, so that small ones in front of them stay visible.
        objects.sort(key=lambda o: o[0].size, reverse=True)
        thickness = max(1, round(min(canvas.shape[:2]) / 400))
        boxes = []
        for mask, x, y, colour, _ in objects:
            height, width = mask.shape
            if factor > 1:
                size = (width * factor, height * factor)
                mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
            boxes.append((x * factor, y * factor, width * factor, height * factor))
            self._blend(canvas, mask, x * factor, y * factor, colour, thickness)
        if self.draw_boxes:
            for (x, y, width, height), (*_, colour, _) in zip(boxes, objects):
                corner = (x + width - 1, y + height - 1)
                cv2.rectangle(canvas, (x, y), corner, colour, thickness)
        if self.draw_labels:
            self._write_all(canvas, boxes, [o[3] for o in objects], [o[4] for o in objects])
        return canvas

    def _factor(self, shape: Sequence[int]) -> int:
        shorter = min(shape[:2])
        return max(1, math.ceil(self.min_side / shorter)) if shorter else 1

    @staticmethod
    def _crop(mask: Any, shape: tuple[int, int]) -> tuple[np.ndarray, int, int] | None:
        """Cuts a mask out.

        Args:
            mask: RLE dict, or bool array or tensor (H, W).
            shape: (H, W) that it must have.

        Returns:
            uint8 array (h, w) of 0 and 1 with the object only, x and y of its corner; None when
            the mask is empty.

        Raises:
            ValueError: If the mask has another size.
        """
        if isinstance(mask, dict):
            size = tuple(mask['size'])
        else:
            mask = np.ascontiguousarray(_array(mask), dtype=np.uint8)
            size = mask.shape
        if size != shape:
            raise ValueError(f'mask is {size}, the frame {shape} (height, width)')
        if isinstance(mask, dict):
            # The box comes from the runs; pixels are only touched where there is an object.
            x, y, width, height = mask_utils.toBbox(mask).astype(int).tolist()
            if width == 0 or height == 0:
                return None
            mask = mask_utils.decode(mask)
        else:
            x, y, width, height = cv2.boundingRect(mask)
            if width == 0:
                return None
        return np.ascontiguousarray(mask[y : y + height, x : x + width]), x, y

    def _blend(
        self,
        canvas: np.ndarray,
        mask: np.ndarray,
        x: int,
        y: int,
        colour: tuple[int, int, int],
        thickness: int,
    ) -> None:
        """Colours the object in place and draws its outline."""
        height, width = mask.shape
        region = canvas[y : y + height, x : x + width]
        tint = np.empty_like(region)
        tint[:] = colour
        mixed = cv2.addWeighted(region, 1 - self.alpha, tint, self.alpha, 0)
        cv2.copyTo(mixed, mask, region)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(canvas, outlines, -1, colour, thickness, cv2.LINE_AA, offset=(x, y))

    def _text(self, track_id: int, label: int, score: float | None) -> str:
        label = int(label)
        known = 0 <= label < len(self.class_names)
        name = self.class_names[label] if known else f'class {label}'
        name = name.encode('ascii', 'replace').decode()  # OpenCV's font has nothing else
        return f'{int(track_id)} {name}' + ('' if score is None else f' {score:.2f}')

    @staticmethod
    def _write_all(
        canvas: np.ndarray,
        boxes: Sequence[tuple[int, int, int, int]],
        colours: Sequence[tuple[int, int, int]],
        texts: Sequence[str],
    ) -> None:
        """Writes labels above their boxes, or where they do not cover each other."""
        frame_height, frame_width = canvas.shape[:2]
        scale = float(np.clip(min(frame_height, frame_width) / 900, 0.35, 2.0))
        thickness = max(1, round(scale * 1.6))
        margin = max(1, round(4 * scale))
        taken: list[tuple[int, int, int, int]] = []

        def free(x: int, y: int, width: int, height: int) -> bool:
            return (
                y >= 0
                and y + height <= frame_height
                and not any(
                    x < tx + tw and tx < x + width and y < ty + th and ty < y + height
                    for tx, ty, tw, th in taken
                )
            )

        for (bx, by, _, bh), colour, text in zip(boxes, colours, texts):
            (text_width, text_height), below = cv2.getTextSize(text, _FONT, scale, thickness)
            width, height = text_width + 2 * margin, text_height + below + 2 * margin
            x = int(np.clip(bx, 0, max(frame_width - width, 0)))
            # Above the box, inside at its top, under it, then further and further down.
            rows = [by - height, by, by + bh, *range(by + height, frame_height - height, height)]
            y = next((row for row in rows if free(x, row, width, height)), None)
            if y is None:
                y = int(np.clip(by - height, 0, max(frame_height - height, 0)))
            taken.append((x, y, width, height))
            cv2.rectangle(canvas, (x, y), (x + width - 1, y + height - 1), colour, cv2.FILLED)
            corner = (x + margin, y + margin + text_height)
            cv2.putText(
                canvas, text, corner, _FONT, scale, _text_colour(colour), thickness, cv2.LINE_AA
            )


def side_by_side(
    left: np.ndarray,
    right: np.ndarray,
    titles: tuple[str, str] = ('prediction', 'ground truth'),
) -> np.ndarray:
    """Joins two pictures, each under its title.

    Args:
        left: uint8 (H, W, 3), BGR.
        right: uint8 (H, W, 3), BGR.
        titles: What stands above them.

    Returns:
        uint8 (H + title, 2 * W + gap, 3), BGR.

    Raises:
        ValueError: If the pictures have different sizes.
    """
    if left.shape != right.shape:
        raise ValueError(f'pictures have different shapes: {left.shape} and {right.shape}')
    height, width = left.shape[:2]
    scale = float(np.clip(min(height, width) / 700, 0.4, 2.0))
    thickness = max(1, round(scale * 1.6))
    bar = round(34 * scale) + 4
    gap = max(2, round(width / 160))
    canvas = np.full((height + bar, 2 * width + gap, 3), 24, np.uint8)
    for x, picture, title in ((0, left, titles[0]), (width + gap, right, titles[1])):
        canvas[bar:, x : x + width] = picture
        title = title.encode('ascii', 'replace').decode()
        (_, text_height), below = cv2.getTextSize(title, _FONT, scale, thickness)
        baseline = (bar + text_height) // 2
        cv2.putText(
            canvas, title, (x + below, baseline), _FONT, scale, (255,) * 3, thickness, cv2.LINE_AA
        )
    return canvas
