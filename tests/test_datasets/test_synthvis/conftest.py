"""Small SynthVIS sets that several tests look at; made once, never changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmdevis.datasets.synthvis import SynthVISConfig, generate_synthvis

SMALL = {'frames': 5, 'size': (32, 48)}


@pytest.fixture(scope='session')
def small_config() -> SynthVISConfig:
    return SynthVISConfig(**SMALL)


@pytest.fixture(scope='session')
def small_set(tmp_path_factory: pytest.TempPathFactory, small_config: SynthVISConfig) -> Path:
    out = tmp_path_factory.mktemp('synthvis') / 'set'
    generate_synthvis(out, {'train': 6, 'valid': 3}, small_config, seed=3, progress=False)
    return out


@pytest.fixture(scope='session')
def standard_set(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """YouTube-VIS annotation of 60 videos at standard difficulty."""
    out = tmp_path_factory.mktemp('synthvis') / 'standard'
    generate_synthvis(out, {'valid': 60}, progress=False)
    return json.loads((out / 'annotations' / 'valid_ytvis.json').read_text())
