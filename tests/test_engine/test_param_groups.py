import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

import mmdevis.engine  # noqa: F401  (registers the constructor)


def model():
    torch.manual_seed(0)
    return nn.ModuleDict(
        dict(
            backbone=nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
            sampling_offsets=nn.Linear(4, 2),
            head=nn.Linear(4, 4),
        )
    )


def wrapper(net, constructor):
    cfg = dict(
        type='OptimWrapper',
        constructor=constructor,
        optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.1),
        clip_grad=dict(max_norm=0.1),
        paramwise_cfg=dict(
            norm_decay_mult=0.0,
            custom_keys=dict(backbone=dict(lr_mult=0.5), sampling_offsets=dict(lr_mult=0.1)),
        ),
    )
    return build_optim_wrapper(net, cfg)


def steps(net, optim):
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        y = net['backbone'](x).mean((2, 3))
        optim.update_params((net['head'](y) ** 2).sum() + net['sampling_offsets'](y).sum())


def test_few_groups_with_all_parameters_once():
    net = model()
    groups = wrapper(net, 'mmdet.MergedGroupsConstructor').optimizer.param_groups
    assert sorted({group['lr'] for group in groups}) == pytest.approx([1e-3, 5e-3, 1e-2])
    assert len(groups) == 3
    held = [id(p) for group in groups for p in group['params']]
    assert sorted(held) == sorted(id(p) for p in net.parameters())


def test_updates_are_those_of_mmengine():
    ours, theirs = model(), model()
    first = wrapper(ours, 'mmdet.MergedGroupsConstructor')
    second = wrapper(theirs, 'DefaultOptimWrapperConstructor')
    assert len(second.optimizer.param_groups) == 8
    before = copy.deepcopy(ours.state_dict())
    steps(ours, first)
    steps(theirs, second)
    assert not torch.equal(before['head.weight'], ours['head'].weight)
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b)
