"""Evaluation on plain YouTube-VIS dictionaries, without models or runners."""

from .occlusion import OCCLUSION_GROUPS, occlusion_group, occlusion_score
from .submission import write_submission
from .tables import class_table, summary_table
from .tracking import evaluate_tracking, require_trackeval
from .ytvis_eval import evaluate_ytvis, track_ious
from .ytvis_format import VISFormatError, check_ground_truth, check_results

__all__ = [
    'OCCLUSION_GROUPS',
    'VISFormatError',
    'check_ground_truth',
    'check_results',
    'class_table',
    'evaluate_tracking',
    'evaluate_ytvis',
    'occlusion_group',
    'occlusion_score',
    'require_trackeval',
    'summary_table',
    'track_ious',
    'write_submission',
]
