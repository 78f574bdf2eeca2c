"""Training spread over two processes (FSDP over gloo) is training in one, by the real tools."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdevis.datasets.synthvis import SYNTHVIS_CLASSES, SynthVISConfig, generate_synthvis
from mmdevis.engine import ShardedOptimWrapper
from mmdevis.engine.hooks.start_from_image_hook import _whole_model

ROOT = Path(__file__).parents[2]
(BASE,) = ROOT.glob('configs/devis/devis_mobilenetv2_1xb2-*_ytvis-style.py')
FSDP = ROOT / 'configs/devis/devis_swin-l-p4-w12-384-in21k_4xb1-9e_youtubevis2019-fsdp.py'

PLAIN = f"""
_base_ = '{BASE}'
# The loss of the pixel classifier is a mean over the pixels of one process.
model = dict(bbox_head=dict(num_classes={len(SYNTHVIS_CLASSES)}, pixel_classifier=None))
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(shuffle=False),
    dataset=dict(
        ann_file='annotations/train.json', data_prefix=dict(img_path='train/JPEGImages')
    ),
)
val_cfg = val_dataloader = val_evaluator = None
train_cfg = dict(max_iters=2, val_interval=3)
param_scheduler = []
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.01))
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=1))
load_from = 'start.pth'
"""

SHARDED = """
_base_ = './plain.py'
train_dataloader = dict(batch_size=1)
runner_type = 'FlexibleRunner'
strategy = {strategy}
optim_wrapper = dict(type='ShardedOptimWrapper')
val_cfg = val_dataloader = val_evaluator = None
"""


def load_train():
    spec = importlib.util.spec_from_file_location('fsdp_train', ROOT / 'tools/train.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return str(server.getsockname()[1])


@pytest.mark.slow
def test_two_processes_train_the_model_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    monkeypatch.setenv('VIS_DATA', 'data/')
    config = SynthVISConfig(frames=6, size=(48, 64))
    generate_synthvis('data', {'train': 2, 'valid': 1}, config, workers=1, progress=False)
    strategy = Config.fromfile(FSDP).strategy.to_dict()
    Path('plain.py').write_text(PLAIN)
    Path('sharded.py').write_text(SHARDED.format(strategy=strategy))

    register_all_modules(init_default_scope=True)
    model = MODELS.build(Config.fromfile('plain.py').model)
    model.init_weights()
    torch.save({'state_dict': model.state_dict()}, 'start.pth')
    # Both see the same clips, not flipped.
    words = ['--cfg-options', 'train_dataloader.dataset.pipeline.1.transforms.3.prob=0.0']
    assert load_train().main(['plain.py', '--work-dir', 'one', *words]) == 0
    env = {
        **os.environ,
        'PYTHON': sys.executable,
        'PORT': free_port(),
        'PYTHONPATH': f'{ROOT}:{os.environ.get("PYTHONPATH", "")}',
        'OMP_NUM_THREADS': '1',
    }
    done = subprocess.run(
        ['bash', ROOT / 'tools/dist_train.sh', 'sharded.py', '2', '--work-dir', 'two', *words],
        env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    one, two = (torch.load(f'{run}/iter_2.pth', weights_only=False) for run in ('one', 'two'))
    start = model.state_dict()
    assert set(two['state_dict']) == set(one['state_dict'])
    moved = 0
    for name, value in one['state_dict'].items():
        torch.testing.assert_close(two['state_dict'][name], value, atol=1e-6, rtol=1e-4, msg=name)
        moved += int(not torch.equal(value, start[name]))
    assert moved > 100


def test_clipping_takes_the_whole_norm_and_no_other():
    parameter = torch.nn.Parameter(torch.zeros(4))
    wrapper = ShardedOptimWrapper(
        torch.optim.SGD([parameter], lr=1.0), clip_grad=dict(max_norm=0.1, norm_type=2)
    )
    wrapper.update_params((parameter * torch.tensor([3.0, 0.0, 4.0, 0.0])).sum())
    torch.testing.assert_close(parameter.data, torch.tensor([-0.06, 0.0, -0.08, 0.0]))
    with pytest.raises(ValueError, match='Euclidean'):
        ShardedOptimWrapper(
            torch.optim.SGD([parameter], lr=1.0), clip_grad=dict(type='value', clip_value=1.0)
        )


def test_starting_from_an_image_needs_parameters_of_their_full_shape(monkeypatch):
    class Sharded:
        summon_full_params = None
        module = 'a model with a part of every parameter'

    class Plain:
        module = 'a model'

    class Runner:
        cfg = Config.fromfile(BASE)

    register_all_modules(init_default_scope=True)
    runner = Runner()
    runner.model = Plain()
    assert _whole_model(runner) == 'a model'
    runner.model = Sharded()
    whole = _whole_model(runner)
    assert whole.query_embedding.weight.shape == (120, 256)
