"""Settings that every test runs under."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

# Before torch and OpenCV start their thread pools: several test workers share few cores.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MKL_NUM_THREADS', '1')
os.environ.setdefault('MPLBACKEND', 'Agg')

import numpy as np
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)

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


@pytest.fixture(autouse=True, scope='session')
def unformatted_configs() -> Iterator[None]:
    """Leaves yapf out: MMEngine has it format the config four times per run, two seconds each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **options: (text, True))
        yield
