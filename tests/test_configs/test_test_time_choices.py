"""Every choice of test time is a config key."""

from pathlib import Path

import pytest
from mmdet.utils import register_all_modules
from mmengine.config import Config, DictAction

from mmdevis.testing import build_reduced

ROOT = Path(__file__).parents[2] / 'configs' / 'devis'
TRACKER = {
    'mask_weight': 0.5,
    'class_weight': 0.25,
    'score_weight': 2.0,
    'center_weight': 3.0,
    'binary_masks': True,
    'per_frame_iou': True,
    'per_class_matching': True,
    'final_class_policy': 'score_weighted',
    'final_score_policy': 'median',
    'min_frame_score': 0.1,
    'min_track_score': 0.2,
    'mask_threshold': 0.4,
    'merge_ignored_frames': False,
    'match_threshold': -0.5,
    'birth_threshold': 0.3,
    'death_threshold': 0.05,
    'duplicate_iou': 0.6,
    'motion_weight': 0.5,
    'motion_history': 6,
    'confidence_weight': 1.0,
    'untangle_margin': 0.2,
    'reid_window': 5,
    'reid_threshold': -0.7,
    'max_missing': 9,
}

register_all_modules(init_default_scope=True)


@pytest.fixture(scope='module')
def stream():
    cfg = Config.fromfile(ROOT / 'devis_r50_4xb1-12e_ovis.py')
    options = {
        f'model.tracker.{key}': DictAction._parse_iterable(str(v)) for key, v in TRACKER.items()
    }
    cfg.merge_from_dict(options | {'model.test_cfg.stride': 2, 'model.test_cfg.max_per_clip': 7})
    model = build_reduced(cfg)
    assert model.bbox_head.test_cfg['max_per_clip'] == 7
    return model.open_stream((32, 48), (32, 48))


def test_stride(stream):
    assert stream.scheduler.stride == 2 and stream.scheduler.num_frames == 6


@pytest.mark.parametrize('key', TRACKER)
def test_tracker(stream, key):
    holder = stream.tracker if hasattr(stream.tracker, key) else stream.tracker.cost
    assert getattr(holder, key) == TRACKER[key]


def test_all_arguments_of_the_tracker_are_covered(stream):
    import inspect

    known = set(inspect.signature(type(stream.tracker)).parameters)
    assert known - set(TRACKER) == {'keep_segmentations'}
