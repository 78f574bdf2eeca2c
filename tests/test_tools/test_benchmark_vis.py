"""tools/analysis_tools/benchmark_vis.py at a size that says nothing about speed."""

import json
import sys

import pytest


@pytest.fixture(scope='module')
def script(load_script):
    return load_script('analysis_tools/benchmark_vis.py')


def test_exponent(script):
    assert script.exponent([2, 4, 8], [3 * 2**1.5, 3 * 4**1.5, 3 * 8**1.5]) == pytest.approx(1.5)


@pytest.mark.slow
def test_speed_and_kernels(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, 'environment', lambda device: {})
    arguments = (
        '--what speed kernels --models devis mask2former-vis --steps network --size 32 64 '
        '--original-size 32 64 --num-frames 2 --video-frames 2 --rounds 1 --threads 1'
    )
    out = tmp_path / 'new' / 'out.json'
    monkeypatch.setattr(sys, 'argv', ['benchmark_vis.py', *arguments.split(), '--json', str(out)])
    script.main()
    result = json.loads(out.read_text())
    rows = {row['model']: row for row in result['speed']}
    assert rows['devis']['times_devis'] == 1
    assert rows['mask2former-vis']['times_devis'] > 0
    kernels = {row['part']: row['kernels'] for row in result['kernels']}
    assert 0 < kernels['decoder'] < kernels['clip']
    assert '| mask2former-vis |' in capsys.readouterr().out


@pytest.mark.slow
def test_cost_training_and_growth(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, 'environment', lambda device: {})
    # Processes of their own would each import everything again.
    monkeypatch.setattr(script, 'in_worker', lambda job, args: float(script.work(job, args) or 1))
    arguments = (
        '--what cost train growth --models devis --size 32 64 --original-size 32 64 '
        '--num-frames 2 --video-frames 2 --rounds 1 --threads 1 --dtype bfloat16 '
        '--growth-frames 1 3 --growth-sizes 32x32 32x64'
    )
    out = tmp_path / 'out.json'
    monkeypatch.setattr(sys, 'argv', ['benchmark_vis.py', *arguments.split(), '--json', str(out)])
    script.main()
    result = json.loads(out.read_text())
    (cost,) = result['cost']
    assert cost['parameters'] > 4e7 and cost['gflop_network'] > 1
    steps = {row['step']: row for row in result['train']}
    assert list(steps) == ['devis, AMP bfloat16', 'devis', 'loop over frames']
    assert steps['loop over frames']['times_loop'] == 1
    assert [(row['size'], row['frames']) for row in result['growth']] == [
        ('32x32', 1), ('32x32', 3), ('32x64', 1), ('32x64', 3)
    ]  # fmt: skip
    assert all(row['exponent_T'] and row['exponent_area'] for row in result['growth'])
