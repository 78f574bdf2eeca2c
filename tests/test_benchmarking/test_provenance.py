"""Runs say where they come from, and other settings are recognised."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from mmdevis.benchmarking.adapt import adapt_config
from mmdevis.benchmarking.plan import make_spec
from mmdevis.benchmarking.provenance import describe, fingerprint

ROOT = Path(__file__).parents[2]


@pytest.fixture
def made_of(monkeypatch):
    """Fingerprint of a run whose folder and data are somewhere below the given folder."""
    monkeypatch.chdir(ROOT)
    table = Config.fromfile(ROOT / 'configs/benchmark/peers_synthvis-cpu.py')
    spec = make_spec(table, 'devis', 1.0, 0)

    def make(place: Path, annotations: str = '{}', **changed):
        data, folder = place / 'data/main', place / 'runs' / spec.name
        (data / 'annotations').mkdir(parents=True, exist_ok=True)
        (data / 'annotations/train_ytvis.json').write_text(annotations)
        cfg = adapt_config(spec, data, (96, 160), folder)
        cfg.merge_from_dict(changed)
        return fingerprint(cfg, data, folder)

    return make


def test_where_a_run_lies_does_not_matter(made_of, tmp_path):
    assert made_of(tmp_path / 'here') == made_of(tmp_path / 'there', resume=True)


@pytest.mark.parametrize(
    'changed, part',
    [
        ({'annotations': '{"videos": []}'}, 'annotations'),
        ({'model.tracker.mask_weight': 7.0}, 'config'),
        ({'optim_wrapper.optimizer.lr': 1.0}, 'config'),
    ],
)
def test_other_settings_are_seen(made_of, tmp_path, changed, part):
    before, after = made_of(tmp_path), made_of(tmp_path, **changed)
    assert [k for k in before if before[k] != after[k]] == [part]


def test_a_run_names_commit_machine_and_versions():
    assert {'commit', 'written', 'threads', 'torch', 'processor'} <= describe().keys()
