import importlib.util
import json
from pathlib import Path

import pytest

from mmdevis.datasets.synthvis import SynthVISConfig

SCRIPT = Path(__file__).parents[3] / 'tools' / 'dataset_converters' / 'make_synthvis.py'
SMALL = ['--frames', '3', '--size', '32', '48']


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('make_synthvis', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_makes_both_splits(tool, tmp_path, capsys):
    out = str(tmp_path / 'set')
    assert tool.main([out, '--videos', '2', '--val-videos', '1', '--seed', '5', *SMALL]) == 0
    said = capsys.readouterr()
    assert 'train: 2 videos' in said.out and 'valid: 1 videos' in said.out
    assert 'written to' in said.out and 'video/s' in said.err
    manifest = json.loads((tmp_path / 'set' / 'manifest.json').read_text())
    assert manifest['seed'] == 5
    assert SynthVISConfig(**manifest['config']) == SynthVISConfig(frames=3, size=(32, 48))


def test_second_run_reuses(tool, tmp_path, capsys):
    arguments = [str(tmp_path / 'set'), '--videos', '1', *SMALL]
    assert tool.main(arguments) == 0
    assert tool.main(arguments) == 0
    assert 'nothing to do' in capsys.readouterr().out


def test_refuses_to_overwrite_without_force(tool, tmp_path, capsys):
    arguments = [str(tmp_path / 'set'), '--videos', '1', *SMALL]
    assert tool.main(arguments) == 0
    assert tool.main([*arguments, '--seed', '1']) == 2
    assert '--force' in capsys.readouterr().err
    assert tool.main([*arguments, '--seed', '1', '--force']) == 0


def test_settings(tool):
    args = tool.parse_args(
        ['OUT', '--difficulty', 'hard', '--classes', 'star', 'ring']
        + ['--image-format', 'png', '--set', 'crossing_prob=1', 'num_objects=[2,2]']
    )
    config = tool.build_config(args)
    assert config == SynthVISConfig.preset(
        'hard',
        classes=('star', 'ring'),
        image_format='png',
        crossing_prob=1,
        num_objects=(2, 2),
    )


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--videos', '0'], 'split train has 0 videos'),
        (['--val-videos', '-1'], 'split valid has -1 videos'),
        (['--size', '16', '16'], 'size is'),
        (['--frames', '0'], 'frames is 0'),
        (['--seed', '-1'], 'seed is -1'),
        (['--classes', 'dog'], 'classes is'),
        (['--set', 'crossing_prob'], 'expected KEY=VALUE'),
        (['--set', 'fun=1'], 'expected KEY=VALUE'),
        (['--set', 'crossing_prob=often'], 'crossing_prob has'),
    ],
)
def test_bad_arguments(tool, tmp_path, capsys, arguments, said):
    assert tool.main([str(tmp_path / 'set'), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
