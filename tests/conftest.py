"""Settings that every test runs under."""

from __future__ import annotations

import copy
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

# Before torch and OpenCV start their thread pools: several test workers share few cores.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MKL_NUM_THREADS', '1')
os.environ.setdefault('MPLBACKEND', 'Agg')
# Whoever trains on this machine may have set it; tests run in folders where a relative path fails.
os.environ.pop('MOBILENETV2', None)

import numpy as np
import pytest
import torch
from hypothesis import settings
from mmengine.config import Config
from mmengine.registry import DefaultScope

torch.set_num_threads(1)

# Shells start background jobs with Ctrl-C ignored, and nohup ignores the end of the terminal; tests
# of what these do must not inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# No deadline: a loaded machine makes a slow example, not a wrong one. Always the same examples in
# CI, so that a change is judged by itself.
settings.register_profile('default', deadline=None, max_examples=50)
settings.register_profile('ci', deadline=None, max_examples=50, derandomize=True, database=None)
settings.load_profile('ci' if os.environ.get('CI') else 'default')


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips, visibly, what needs a GPU where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker('gpu'):
            item.add_marker(pytest.mark.skip(reason='needs a CUDA GPU'))


@pytest.fixture(autouse=True)
def seed() -> None:
    """Makes every test start from the same random state."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


SYNTHVIS_CLASSES = ('disc', 'triangle', 'ring', 'cross')


@pytest.fixture(scope='session')
def synthvis_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SynthVIS with 2 training and 2 validation videos of 6 frames, 48 x 80."""
    from mmdevis.datasets.synthvis import SynthVISConfig, generate_synthvis

    root = tmp_path_factory.mktemp('data') / 'synthvis'
    config = SynthVISConfig.preset(
        'easy',
        frames=6,
        size=(48, 80),
        classes=SYNTHVIS_CLASSES,
        short_video_prob=0,
        empty_frame_prob=0,
    )
    generate_synthvis(root, {'train': 2, 'valid': 2}, config, seed=0, workers=1, progress=False)
    return root


@pytest.fixture(scope='session')
def _demo_config(synthvis_root: Path) -> Config:
    from mmdevis.testing import reduce_model

    path = Path(__file__).parents[1] / 'configs/devis/devis_r18_1xb4-demo_synthvis.py'
    cfg = Config.fromfile(path)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = f'{synthvis_root}/'
    cfg.model = reduce_model(cfg.model)
    # Nothing that an untrained model finds passes the thresholds of the demo's tracker.
    cfg.model.tracker = dict(type='MultiCueClipTracker')
    cfg.model.bbox_head.num_classes = len(SYNTHVIS_CLASSES)
    cfg.model.bbox_head.pop('pixel_classifier')
    return cfg


@pytest.fixture
def demo_config(_demo_config: Config) -> Config:
    """The demo's config with a narrow model on the tiny SynthVIS; sets MMDetection's scope."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield copy.deepcopy(_demo_config)


@pytest.fixture(scope='session')
def demo_config_file(_demo_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`demo_config` as a file."""
    path = tmp_path_factory.mktemp('config') / 'devis_r18_1xb4-demo_synthvis.py'
    _demo_config.dump(path)
    return path


@pytest.fixture(autouse=True, scope='session')
def unformatted_configs() -> Iterator[None]:
    """Leaves yapf out: MMEngine has it format the config four times per run, two seconds each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **options: (text, True))
        yield
