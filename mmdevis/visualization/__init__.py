"""Drawing of results."""

from .contact_sheet import choose_frames, contact_sheet, draw_tile, write_picture
from .frame_objects import predicted_objects, renumber_tracks, true_objects
from .palette import track_colour, track_palette
from .result_page import ResultPageWriter
from .track_painter import TrackPainter, side_by_side
from .vis_visualizer import VISLocalVisualizer

__all__ = [
    'ResultPageWriter',
    'TrackPainter',
    'VISLocalVisualizer',
    'choose_frames',
    'contact_sheet',
    'draw_tile',
    'predicted_objects',
    'renumber_tracks',
    'side_by_side',
    'track_colour',
    'track_palette',
    'true_objects',
    'write_picture',
]
