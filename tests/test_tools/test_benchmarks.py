"""The measuring commands of docs/benchmarks, at tiny size."""

import importlib.util
import json
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools/analysis_tools'


def load(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tracker(tmp_path, capsys):
    tool = load('benchmark_tracker')
    options = ['--tracks', '3', '--frames', '2', '--size', '12', '16', '--repeat', '1']
    tool.main([*options, '--json', str(tmp_path / 'new/a.json')])
    figures = json.loads((tmp_path / 'new/a.json').read_text())
    assert figures['speedup'] == figures['pairwise_loop_s'] / figures['all_pairs_s']
    assert figures['max_difference'] < 1e-5
    assert '3 x 3 tracks, 2 frames of 12 x 16' in capsys.readouterr().out


def test_streaming(tmp_path, monkeypatch, capsys):
    tool = load('benchmark_streaming')
    parse = tool.build_parser().parse_args
    # Processes of their own would each import everything again.
    monkeypatch.setattr(
        tool, 'run_worker', lambda work, length, argv: tool.WORK[work](length, parse(argv))
    )
    out = tmp_path / 'a.json'
    options = ['--frames', '8', '40', '--timed', '4', '--size', '16', '16', '--stride', '3']
    assert tool.main([*options, '--json', str(out)]) == 0
    figures = json.loads(out.read_text())
    short, long = figures['memory']
    assert (short['frames'], long['frames']) == (8, 40)
    assert figures['peak_growth'] == pytest.approx(long['peak_bytes'] / short['peak_bytes'] - 1)
    timing = figures['time']
    assert timing['frames'] == 40 and timing['first_cpu_s'] > 0
    assert figures['wall_ratio'] == timing['last_wall_s'] / timing['first_wall_s']
    printed = capsys.readouterr().out
    assert 'growth of the peak' in printed and 'first and last 4 of 40' in printed


def test_streaming_worker_prints_its_figures_last(monkeypatch, capsys):
    tool = load('benchmark_streaming')
    monkeypatch.setitem(tool.WORK, 'time', lambda length, args: {'frames': length})
    assert tool.main(['--worker', 'time', '7']) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {'frames': 7}


def test_streaming_worker_that_fails_is_told():
    tool = load('benchmark_streaming')
    with pytest.raises(SystemExit, match="(?s)--worker time 5 failed:.*invalid int value: 'one'"):
        tool.run_worker('time', 5, ['--size', 'one', '1'])
