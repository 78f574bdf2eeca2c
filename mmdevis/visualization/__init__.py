"""Drawing of results."""

from .palette import track_colour, track_palette
from .result_page import ResultPageWriter
from .track_painter import TrackPainter, side_by_side
from .vis_visualizer import VISLocalVisualizer

__all__ = [
    'ResultPageWriter',
    'TrackPainter',
    'VISLocalVisualizer',
    'side_by_side',
    'track_colour',
    'track_palette',
]
