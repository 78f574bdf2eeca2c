"""tools/analysis_tools/benchmark_metric.py at tiny size."""

import importlib.util
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_figures(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location(
        'benchmark_metric', ROOT / 'tools/analysis_tools/benchmark_metric.py'
    )
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    words = ['--videos', '2', '--frames', '3', '--size', '48', '64', '--json', str(tmp_path / 'x')]
    monkeypatch.setattr(sys, 'argv', ['benchmark_metric.py', *words])
    tool.main()
    figures = json.loads((tmp_path / 'x').read_text())
    assert 0 < figures['peak_gib_before'] <= figures['peak_gib_process']
    assert figures['peak_gib_process'] <= figures['peak_gib_evaluate'] < 4
    assert 0 < figures['AP'] <= 1 and 0 < figures['bytes_per_mask'] < 48 * 64
    assert 'peak_gib_evaluate' in capsys.readouterr().out
