"""tools/train.py and tools/test.py with a toy model: arguments and errors."""

import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
TOY = ROOT / 'tests' / 'test_engine'
sys.path.insert(0, str(TOY))

CONFIG = """
default_scope = 'mmdet'
custom_imports = dict(imports=['mmdevis', 'toy_project'], allow_failed_imports=False)
experiment_name = 'run'
model = dict(type='ToyModel')
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    dataset=dict(type='ToyDataset', length=10),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=0,
    dataset=dict(type='ToyDataset', length=9, noise=0.0),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ToyMetric')
test_evaluator = val_evaluator
train_cfg = dict(type='ReproducibleEpochLoop', max_epochs=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='CheckpointHook', interval=1),
)
randomness = dict(seed=1)
"""


def load_tool(name):
    spec = importlib.util.spec_from_file_location(f'tool_{name}', ROOT / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


train, test = load_tool('train'), load_tool('test')


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    path = tmp_path / 'toy_1xb2.py'
    # A name of its own per test, by which MMEngine keeps its message hubs.
    path.write_text(CONFIG.replace("'run'", repr(tmp_path.name)))
    return str(path)


def config_of(tool, *words):
    return tool.build_config(tool.parse_arguments(list(words)))


def test_work_dir_from_the_name_of_the_config(config):
    assert config_of(train, config).work_dir == 'work_dirs/toy_1xb2'
    assert config_of(train, config, '--work-dir', 'here').work_dir == 'here'
    assert config_of(train, config, '--cfg-options', 'work_dir=there').work_dir == 'there'


def test_cfg_options_and_launcher_arguments(config):
    cfg = config_of(
        train, config, '--local-rank', '1',
        '--cfg-options', 'train_dataloader.batch_size=5', 'model.sizes=[1,2]',
    )  # fmt: skip
    assert cfg.train_dataloader.batch_size == 5
    assert cfg.model.sizes == [1, 2]
    assert os.environ.pop('LOCAL_RANK') == '1'


@pytest.mark.parametrize(
    ('words', 'resume', 'load_from'),
    [([], None, None), (['--resume'], True, None), (['--resume', 'x.pth'], True, 'x.pth')],
)
def test_resume(config, words, resume, load_from):
    cfg = config_of(train, config, *words)
    assert (cfg.get('resume'), cfg.get('load_from')) == (resume, load_from)


def test_amp(config, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg = config_of(train, config, '--amp')
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert train.main([config, '--amp']) == 1
    assert '--amp needs a GPU' in capsys.readouterr().err


def test_auto_scale_lr(config, capsys):
    assert config_of(train, config, '--auto-scale-lr').auto_scale_lr.enable
    Path(config).write_text(CONFIG.replace('auto_scale_lr', 'something_else'))
    assert train.main([config, '--auto-scale-lr']) == 1
    assert 'base_batch_size' in capsys.readouterr().err


@pytest.mark.parametrize('tool', [[train], [test, 'x.pth']])
def test_missing_config(tool, capsys):
    assert tool[0].main(['no_such_config.py', *tool[1:]]) == 1
    assert 'There is no config file no_such_config.py' in capsys.readouterr().err


@pytest.mark.parametrize('text', ['', 'x = 1'])
def test_config_without_a_model(tmp_path, capsys, text):
    path = tmp_path / 'empty.py'
    path.write_text(text)
    assert train.main([str(path)]) == 1
    assert f'{path} has no "model"' in capsys.readouterr().err


def test_test_tool_refuses_what_it_cannot_do(config, capsys):
    assert test.main([config, 'x.pth', '--out', 'x.json']) == 1
    assert '.pkl' in capsys.readouterr().err
    assert test.main([config, 'x.pth', '--show-dir', 'x']) == 1
    assert 'default_hooks.visualization' in capsys.readouterr().err


def test_train_then_test_then_wrong_checkpoints(config, tmp_path, capsys):
    assert train.main([config]) == 0
    checkpoint = 'work_dirs/toy_1xb2/epoch_2.pth'
    assert test.main([config, checkpoint, '--out', 'out/predictions.pkl']) == 0
    with open('out/predictions.pkl', 'rb') as file:
        assert len(pickle.load(file)) == 9

    torch.save(dict(state_dict={'layer.weight': torch.zeros(4, 3)}), 'other.pth')
    capsys.readouterr()
    assert test.main([config, 'other.pth']) == 1
    message = capsys.readouterr().err
    assert 'other.pth is a checkpoint of another config' in message
    assert 'layer.bias' in message
    assert 'layer.weight: checkpoint (4, 3), config (1, 3)' in message
    # The same for going on with it or starting from it.
    assert train.main([config, '--resume', 'other.pth']) == 1
    assert 'another config' in capsys.readouterr().err
    assert train.main([config, '--cfg-options', 'load_from=other.pth']) == 1
    assert 'another config' in capsys.readouterr().err
    assert test.main([config, 'missing.pth']) == 1
    assert 'There is no checkpoint file missing.pth' in capsys.readouterr().err


def test_loss_that_is_not_finite_ends_training_with_status_1(config, monkeypatch, capsys):
    import toy_project

    from mmdevis.utils.losses import check_finite

    def loss(self, inputs, data_samples=None, mode='tensor'):
        losses = dict(loss_a=self.layer.weight.sum() * float('nan'))
        check_finite(losses, [])
        return losses

    monkeypatch.setattr(toy_project.ToyModel, 'forward', loss)
    assert train.main([config]) == 1
    assert 'loss_a' in capsys.readouterr().err


@pytest.mark.parametrize(
    'name', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
)
def test_scripts_say_how_they_are_called(name):
    done = subprocess.run(['bash', ROOT / 'tools' / name], capture_output=True, text=True)
    assert done.returncode == 2
    assert f'tools/{name} ' in done.stderr


@pytest.mark.parametrize('name', ['slurm_train.sh', 'slurm_test.sh'])
def test_slurm_script_passes_its_arguments_on(tmp_path, name):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    env = {'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'GPUS': '4', 'SRUN_ARGS': '--time 1 --x'}
    script = ROOT / 'tools' / name
    words = ['part', 'job', 'a b.py', 'work', '--resume']
    done = subprocess.run(['bash', script, *words], capture_output=True, text=True, env=env)
    lines = done.stdout.splitlines()
    assert lines[lines.index('--ntasks') + 1] == '4'
    assert lines[lines.index('--gres') + 1] == 'gpu:4'
    assert {'a b.py', '--resume', 'slurm', '--x'} <= set(lines)
