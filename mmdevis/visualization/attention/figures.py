"""Pictures of sampling points, reference points and mask attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from torch import Tensor

from ..figure_files import new_figure
from .clip_attention import MaskAttention
from .samples import QuerySamples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL = 2.3  # inches


@dataclass(frozen=True)
class SamplingRow:
    """One row of a figure: what one query looks at on all frames.

    Attributes:
        title: Stands on the left.
        samples: Where the query index looks.
        frame: Frame t that the query belongs to, 0..T-1.
        boxes: (S, 4) cxcywh in 0..1, box of the trajectory on every frame, or None.
    """

    title: str
    samples: QuerySamples
    frame: int
    boxes: Tensor | None = None


def sampling_figure(
    frames: Sequence[np.ndarray],
    rows: Sequence[SamplingRow],
    title: str = '',
    frame_numbers: Sequence[int] | None = None,
) -> Figure:
    """Sampling points and reference points, a row per query and a column per frame.

    With queries of several frames as rows it is figure 2 of the paper, with several layers as rows
    figure A.5. Colour and size of a point are the root of its weight, relative to the largest of
    the row; the number in a cell is the part of the attention that the frame gets. The white cross
    is the query's own reference point, the red dot the one that is used on that frame after
    alignment. The query's own frame has an orange border.

    Args:
        frames: T pictures (H, W, 3), uint8 BGR, without padding.
        rows: The queries.
        title: Stands above the figure.
        frame_numbers: T numbers of the frames in their video; default 0, 1, ...

    Returns:
        The figure.
    """
    figure, grid = _grid(frames, [row.title for row in rows], title, frame_numbers)
    for cells, row in zip(grid, rows):
        peak = float(row.samples.weights[row.frame].max())
        for s, (axes, picture) in enumerate(zip(cells, frames)):
            _show(axes, _dimmed(picture))
            _draw_samples(axes, picture.shape[:2], row, s, peak)
    return figure


def _draw_samples(
    axes: Axes, shape: tuple[int, int], row: SamplingRow, frame: int, peak: float
) -> None:
    scale = np.array(shape[::-1])
    samples = row.samples
    weights = _array(samples.weights[row.frame, frame]).ravel()
    # Pixel centres lie at whole numbers in matplotlib.
    places = _array(samples.locations[row.frame, frame]).reshape(-1, 2) * scale - 0.5
    order = np.argsort(weights)
    order = order[weights[order] > 0]
    # Most points have little weight; the root keeps them visible.
    strength = np.sqrt(weights[order] / max(peak, 1e-12))
    axes.scatter(
        *places[order].T,
        c=strength,
        s=2 + 38 * strength,
        cmap='plasma',
        vmin=0,
        vmax=1,
        alpha=0.35 + 0.6 * strength,
        linewidths=0,
    )
    own = _array(samples.own[row.frame]) * scale - 0.5
    aligned = _array(samples.aligned[row.frame, frame]) * scale - 0.5
    axes.plot(*np.stack([own, aligned]).T, ':', color='white', linewidth=1)
    axes.plot(*own, 'x', color='white', markersize=7, markeredgewidth=1.8)
    axes.plot(*aligned, 'o', color='red', markersize=6, markeredgecolor='white')
    if row.boxes is not None:
        from matplotlib.patches import Rectangle

        cx, cy, width, height = _array(row.boxes[frame]) * np.tile(scale, 2)
        corner = (cx - width / 2 - 0.5, cy - height / 2 - 0.5)
        axes.add_patch(Rectangle(corner, width, height, fill=False, color='lime', linewidth=1))
    share = float(samples.share()[row.frame, frame])
    _write(axes, f'{share:.0%}')
    if frame == row.frame:
        _mark(axes)


def mask_attention_figure(
    frames: Sequence[np.ndarray],
    attention: MaskAttention,
    head: int | None = None,
    title: str = '',
    frame_numbers: Sequence[int] | None = None,
) -> Figure:
    """Attention maps of the mask head, a row per scale from coarse to fine, and the mask.

    Brightness is relative to the largest value of the scale over all frames.

    Args:
        frames: T pictures (H, W, 3), uint8 BGR, without padding.
        attention: Of one trajectory.
        head: Which of the M maps; None shows their mean.
        title: Stands above the figure.
        frame_numbers: T numbers of the frames in their video; default 0, 1, ...

    Returns:
        The figure.

    Raises:
        IndexError: If there is no such head.
    """
    heads = attention.maps[0].shape[1]
    if head is not None and not 0 <= head < heads:
        raise IndexError(f'head {head}: the mask head has heads 0..{heads - 1}')
    strides = [32 // 2**i for i in range(len(attention.maps))]
    titles = [f'stride {stride}' for stride in strides] + ['mask']
    figure, grid = _grid(frames, titles, title, frame_numbers)
    for cells, maps in zip(grid, attention.maps):
        values = _array(maps.mean(1) if head is None else maps[:, head])
        peak = max(float(values.max()), 1e-12)
        for axes, picture, value in zip(cells, frames, values):
            _show(axes, _dimmed(picture))
            heat = value / peak
            axes.imshow(heat, cmap='inferno', vmin=0, vmax=1, alpha=np.clip(heat * 1.5, 0, 0.9))
    for axes, picture, mask in zip(grid[-1], frames, _array(attention.masks)):
        _show(axes, _dimmed(picture))
        axes.imshow(np.ones_like(mask), cmap='plasma', vmin=0, vmax=1, alpha=0.7 * (mask > 0.5))
    return figure


def _grid(
    frames: Sequence[np.ndarray],
    row_titles: Sequence[str],
    title: str,
    frame_numbers: Sequence[int] | None,
) -> tuple[Figure, np.ndarray]:
    """An empty figure and its axes (rows, T)."""
    height, width = frames[0].shape[:2]
    cell_height = _CELL * height / width
    size = (_CELL * len(frames) + 0.4, cell_height * len(row_titles) + 0.3 + 0.3 * bool(title))
    figure = new_figure(size)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    grid = figure.subplots(len(row_titles), len(frames), squeeze=False)
    numbers = range(len(frames)) if frame_numbers is None else frame_numbers
    for axes, number in zip(grid[0], numbers):
        axes.set_title(f'frame {number}', fontsize=9)
    for axes, text in zip(grid[:, 0], row_titles):
        axes.set_ylabel(text, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure, grid


def _show(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture)
    axes.set(xticks=[], yticks=[])
    # Samples may lie outside: the frame keeps its place.
    axes.set_xlim(-0.5, picture.shape[1] - 0.5)
    axes.set_ylim(picture.shape[0] - 0.5, -0.5)


def _dimmed(picture: np.ndarray) -> np.ndarray:
    """RGB picture, grey and dark enough for colours to be seen on it."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return np.repeat((grey * 0.6).astype(np.uint8)[..., None], 3, 2)


def _mark(axes: Axes) -> None:
    for side in axes.spines.values():
        side.set(color='orange', linewidth=2.5)


def _write(axes: Axes, text: str) -> None:
    place = dict(transform=axes.transAxes, ha='left', va='top', fontsize=8, color='white')
    axes.text(0.02, 0.97, text, bbox=dict(facecolor='black', alpha=0.6, pad=1.5, lw=0), **place)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
