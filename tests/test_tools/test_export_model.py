"""Export tool: choices and errors (docs/export.md's commands run in tests/test_docs)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS

from mmdevis.export import ExportedClip

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location(
    'export_model', ROOT / 'tools/deployment/export_model.py'
)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.fixture
def words(demo_config, tmp_path, monkeypatch):
    """Command line of a tiny model without the output."""
    monkeypatch.chdir(tmp_path)
    model = demo_config.model
    model.merge(dict(num_frames=2, num_queries=8, test_cfg=dict(stride=1)))
    model.encoder.num_layers = model.decoder.num_layers = 1
    model.bbox_head.layer_weights = None
    demo_config.dump('config.py')
    torch.save(dict(state_dict=MODELS.build(model).state_dict()), 'weights.pth')
    return ['config.py', 'weights.pth', '--size', '32', '48']


@pytest.fixture
def program(monkeypatch):
    """Has tracing give a small program that is none of the model."""

    class Zeros(torch.nn.Module):
        def forward(self, frames):
            values = (8 // 2, 2, 4), (4, 2, 4), (4, 2, 8, 12)
            names = 'scores', 'boxes', 'masks'
            return {
                name: torch.zeros(shape) + 0 * frames.sum() for name, shape in zip(names, values)
            }

    def export(model, size, backend):
        return torch.export.export(Zeros(), (torch.zeros(1, 2, 3, *size),), strict=False)

    monkeypatch.setattr(tool, 'export_program', export)


def test_the_fast_op_and_a_change_of_the_config(words, capsys):
    words += ['--backend', 'auto', '--cfg-options', 'model.test_cfg.max_per_clip=3']
    assert tool.main([*words, '--out', 'folder/clip.pt2']) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(':')[0] for line in printed] == [
        'scores', 'boxes', 'masks', 'folder/clip.pt2',
    ]  # fmt: skip
    assert ExportedClip('folder/clip.pt2').description.max_per_clip == 3


def test_a_file_that_computes_something_else_is_not_kept(words, program, tmp_path, capsys):
    Path('clip.pt2').write_text('before')
    assert tool.main([*words, '--out', 'clip.pt2']) == 1
    assert 'boxes' in capsys.readouterr().err
    assert Path('clip.pt2').read_text() == 'before'
    assert not list(tmp_path.glob('.*tmp*'))
    assert tool.main([*words, '--out', 'clip.pt2', '--tolerance', '1e9']) == 0
    assert tool.main([*words, '--out', 'other.pt2', '--no-verify']) == 0
    assert 'difference' not in capsys.readouterr().out.splitlines()[-1]
    assert ExportedClip('other.pt2').description.size == (32, 48)


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'--out': 'clip.pth'}, r'clip.pth: the ending must be .onnx or .pt2'),
        ({'--out': 'clip.pt2', '--format': 'onnx'}, 'the ending must be .onnx'),
        ({'--out': 'clip.onnx', '--backend': 'cpu'}, "ONNX can only hold 'reference'"),
        ({'--out': 'clip.onnx', '--opset': '15'}, 'at least 18, got 15'),
        ({'--out': 'clip.pt2', '--video': 'nowhere.mp4'}, 'nowhere.mp4'),
        ({'--out': 'clip.pt2', '--video': 'one'}, 'one has 1 frames; a clip has 2'),
        ({'config.py': 'nothing.py', '--out': 'clip.pt2'}, 'no config file nothing.py'),
        ({'weights.pth': 'nothing.pth', '--out': 'clip.pt2'}, 'no checkpoint file nothing.pth'),
        ({'config.py': 'image.py', '--out': 'clip.pt2'}, 'image.py is of DeformableMaskDETR'),
        ({'32': '16', '--out': 'clip.pt2'}, 'at least 32 pixels'),
    ],
)
def test_errors(words, program, demo_config, capsys, tmp_path, changes, message):
    import cv2
    import numpy as np

    demo_config.model.type = 'DeformableMaskDETR'
    demo_config.dump('image.py')
    Path('one').mkdir()
    cv2.imwrite('one/00.jpg', np.zeros((32, 48, 3), np.uint8))
    words = [changes.pop(word, word) for word in words]
    words += [word for pair in changes.items() for word in pair]
    assert tool.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert message in error
    assert not Path(changes['--out']).exists()
    assert not list(tmp_path.glob('.*tmp*'))
