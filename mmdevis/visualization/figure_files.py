"""Matplotlib figures without windows and global state, and files that are complete or not there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mmdevis.utils.pending_file import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(size: tuple[float, float], dpi: int = 120) -> Figure:
    """Make an empty figure.

    Args:
        size: Width and height in inches.
        dpi: Pixels per inch.

    Returns:
        The figure, laid out so that nothing overlaps.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure; the file appears when it is complete.

    Args:
        figure: The figure.
        path: Picture to write; the ending chooses the format. Its folder is made if needed.
    """
    with whole_file(path) as temporary:
        figure.savefig(temporary)
