"""Matplotlib figures without windows and global state, and files that are complete or not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

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
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{os.getpid()}.{path.name}')
    try:
        figure.savefig(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
