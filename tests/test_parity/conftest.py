import json
from pathlib import Path

import numpy as np
import pytest
from mmdet.utils import register_all_modules

DATA = Path(__file__).parents[1] / 'data' / 'parity'

register_all_modules(init_default_scope=True)


@pytest.fixture
def load_numbers():
    """Reads a case of the official release's numbers: its description and its arrays."""

    def load(name):
        return json.loads((DATA / f'{name}.json').read_text()), dict(np.load(DATA / f'{name}.npz'))

    return load


@pytest.fixture
def load_arrays():
    """Reads arrays that are spread over several files."""

    def load(*names):
        return {k: v for name in names for k, v in np.load(DATA / f'{name}.npz').items()}

    return load
