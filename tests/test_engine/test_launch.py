import pytest
import torch
from mmengine.config import Config

from mmdevis.engine import prepare_launch


def test_one_process_needs_nothing():
    cfg = Config(dict(env_cfg=dict(dist_cfg=dict(backend='nccl'))))
    prepare_launch(cfg, 'none')
    assert cfg.launcher == 'none'
    assert 'model_wrapper_cfg' not in cfg


def test_cpu_only_knows_torchrun(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(RuntimeError, match='dist_train.sh'):
        prepare_launch(Config(), 'slurm')


def test_torchrun_that_was_not_used_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(RuntimeError, match='expects RANK.*torchrun'):
        prepare_launch(Config(), 'pytorch')


def test_cpu_wrapper_has_no_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    started = []
    monkeypatch.setattr(torch.distributed, 'is_initialized', lambda: False)
    monkeypatch.setattr(
        torch.distributed, 'init_process_group', lambda *args, **kwargs: started.append(args)
    )
    for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'):
        monkeypatch.setenv(name, '0')
    cfg = Config(dict(find_unused_parameters=True))
    prepare_launch(cfg, 'pytorch')
    assert started == [('gloo',)]
    assert cfg.model_wrapper_cfg.device_ids is None
    assert cfg.model_wrapper_cfg.find_unused_parameters
