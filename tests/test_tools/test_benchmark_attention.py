"""tools/analysis_tools/benchmark_attention.py at a size that says nothing about speed."""

import json
import sys

import pytest
import torch

from mmdevis.testing.measuring import saved_bytes


@pytest.fixture(scope='module')
def script(load_script):
    return load_script('analysis_tools/benchmark_attention.py')


def test_op_and_layer(script, tmp_path, monkeypatch, capsys):
    tiny = script.Workload(3, 1, ((4, 6), (2, 3)), 2, 8, points=2, temporal_points=1)
    monkeypatch.setitem(script.WORKLOADS, 'demo', tiny)
    monkeypatch.setattr(script, 'environment', lambda device: {})

    # Processes of their own would each import everything again.
    def in_this_process(arguments):
        what, name, work, device, dtype, backward = json.loads(arguments[-1])
        sizes = script.WORKLOADS[work]
        return script.peak_memory(what, name, sizes, device, dtype, bool(backward))

    monkeypatch.setattr(script, 'worker_output', in_this_process)
    out = tmp_path / 'out.json'
    arguments = '--workloads demo --rounds 1 --threads 1 --names cpu gather mmcv-loop --json'
    monkeypatch.setattr(sys, 'argv', ['benchmark_attention.py', *arguments.split(), str(out)])
    script.main()
    rows = json.loads(out.read_text())['rows']
    names = ['cpu', 'gather', 'mmcv', 'mmcv-loop']
    assert sorted((row['what'], row['name']) for row in rows) == [
        (what, name) for what in ('layer', 'op') for name in names
    ]
    for row in rows:
        assert row['max_abs_difference'] < 1e-5
        assert row['forward_ms'] > 0 and row['forward_backward_ms'] > 0
        if row['name'] == 'mmcv':
            assert row['forward_speedup'] == row['forward_backward_speedup'] == 1
    saved = {row['name']: row['saved_mib'] * 2**20 for row in rows if row['what'] == 'op'}
    # The op keeps its output, (frames * tokens) * 2 * 8 floats, and none of mmcv's intermediates.
    assert saved['cpu'] == 3 * 30 * 16 * 4
    assert saved['cpu'] < saved['mmcv']
    assert '| mmcv-loop |' in capsys.readouterr().out


def test_saved_bytes_counts_storages_once():
    x, weight = torch.ones(4, 8, requires_grad=True), torch.ones(8, requires_grad=True)

    def call():
        hidden = (x * weight).exp()  # exp keeps its result,
        return (hidden[:2] * hidden[2:]).sum()  # and the product two parts of it

    assert saved_bytes(call, [x, weight]) == 4 * 8 * 4
    assert saved_bytes(call, [weight]) == 2 * 4 * 8 * 4
