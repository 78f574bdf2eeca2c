"""Submission files are complete or not there."""

from __future__ import annotations

import json
import zipfile

import pytest

from mmdevis.evaluation import write_submission


@pytest.mark.parametrize('results', [[], [{'score': 0.5}], [{'score': 0.5}, {'score': 0.25}]])
def test_files_hold_the_results(tmp_path, results):
    json_path, zip_path = write_submission(results, tmp_path / 'deep' / 'run.v1')
    assert json_path == tmp_path / 'deep' / 'run.v1.json'
    assert json.loads(json_path.read_text()) == results
    with zipfile.ZipFile(zip_path) as archive:
        assert json.loads(archive.read('results.json')) == results


def test_failure_leaves_the_old_file(tmp_path):
    write_submission([{'score': 1}], tmp_path / 'a')
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(TypeError):
        write_submission([{'score': 0.5}, {'score': object()}], tmp_path / 'a')
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
