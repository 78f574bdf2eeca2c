"""Evaluation on plain YouTube-VIS dictionaries, without models or runners."""

from .error_breakdown import break_down_errors, breakdown_table, kind_of_track
from .occlusion import OCCLUSION_GROUPS, occlusion_group, occlusion_score
from .submission import write_submission
from .tables import class_table, summary_table
from .tracking import evaluate_tracking, require_trackeval
from .video_tracks import VideoTracks, split_by_video
from .ytvis_eval import evaluate_ytvis, track_ious
from .ytvis_format import VISFormatError, check_ground_truth, check_results

__all__ = [
    'OCCLUSION_GROUPS',
    'VISFormatError',
    'VideoTracks',
    'break_down_errors',
    'breakdown_table',
    'check_ground_truth',
    'check_results',
    'class_table',
    'evaluate_tracking',
    'evaluate_ytvis',
    'kind_of_track',
    'occlusion_group',
    'occlusion_score',
    'require_trackeval',
    'split_by_video',
    'summary_table',
    'track_ious',
    'write_submission',
]
