"""tools/analysis_tools/profile_clip.py at a size that says nothing about speed."""

import json
import sys

import pytest
import torch

from mmdevis.testing.operations import count_flops


@pytest.fixture(scope='module')
def script(load_script):
    return load_script('analysis_tools/profile_clip.py')


def test_count_flops():
    a, b = torch.rand(3, 4), torch.rand(4, 5)
    assert count_flops(lambda: a @ b) == 2 * 3 * 4 * 5
    image, grid = torch.rand(1, 7, 4, 4), torch.rand(1, 2, 3, 2)
    sample = torch.nn.functional.grid_sample
    assert count_flops(lambda: sample(image, grid, align_corners=False)) == 7 * 2 * 3 * 4 * 2


@pytest.mark.parametrize(
    ('operator', 'kind'),
    [
        ('mmdevis::temporal_deform_attn', 'sampling of the attention'),
        ('aten::mkldnn_convolution', 'convolutions'),
        ('mmdevis::modulated_deform_conv', 'deformable convolutions'),
        ('aten::addmm', 'matrix products'),
        ('aten::add_', 'other operators'),
    ],
)
def test_kinds(script, operator, kind):
    assert script.kind_of(operator) == kind


@pytest.mark.slow
def test_tables_and_picture(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, 'matrix_rate', lambda *args: 1e10)
    monkeypatch.setattr(script, 'bandwidth', lambda *args: 1e10)
    arguments = '--size 32 64 --original-size 32 64 --num-frames 2 --rounds 1 --threads 1'
    written = ['--json', str(tmp_path / 'p.json'), '--picture', str(tmp_path / 'p.png')]
    monkeypatch.setattr(sys, 'argv', ['profile_clip.py', *arguments.split(), *written])
    script.main()
    result = json.loads((tmp_path / 'p.json').read_text())
    rows = {row['part']: row for row in result['parts']}
    assert list(rows) == [*script.PARTS, script.REST]
    assert all(row['seconds'] > 0 for row in rows.values())
    for part in script.PARTS:
        assert rows[part]['Gflop'] > 0 and rows[part]['peak MiB'] != '', part
    assert sum(r['Gflop'] for r in rows.values()) == pytest.approx(result['gflop'])
    assert result['kinds']['sampling of the attention'] > 0
    assert (tmp_path / 'p.png').stat().st_size > 5000
    assert '| encoder |' in capsys.readouterr().out


@pytest.mark.slow
def test_watching_leaves_the_model_as_it_was(script):
    runner = script.make_runner('devis', (32, 64), (32, 64), 2)
    before = runner.model.forward_encoder
    script.seconds_of_parts(runner.model, lambda: None, 'cpu')
    assert runner.model.forward_encoder == before
    assert 'forward_encoder' not in vars(runner.model)
