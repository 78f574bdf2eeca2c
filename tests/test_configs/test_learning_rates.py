"""The learning rate that every parameter really gets, against the paper and the release."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmdevis.testing import reduce_model

ROOT = Path(__file__).parents[2] / 'configs' / 'devis'
VIDEO = [
    f'devis_{backbone}_4xb1-{schedule}.py'
    for backbone in ('r50', 'r101', 'swin-l-p4-w12-384-in21k')
    for schedule in ('9e_youtubevis2019', '10e_youtubevis2021', '12e_ovis')
] + [
    f'devis_r50_4xb1-{schedule}-coco.py'
    for schedule in ('9e_youtubevis2019', '10e_youtubevis2021', '12e_ovis')
]
# The same recipe, with another wrapper of the optimiser.
VIDEO.append('devis_swin-l-p4-w12-384-in21k_4xb1-9e_youtubevis2019-fsdp.py')
IMAGE = [
    f'deformable-mask-detr_{backbone}_8xb2-24e_coco.py'
    for backbone in ('r50', 'r101', 'swin-l-p4-w12-384-in21k')
]
DROPS = {'9e': [3, 7], '10e': [4, 8], '12e': [6, 10], '24e': [15]}

register_all_modules(init_default_scope=True)


def optimiser_of(name):
    """Model and optimiser wrapper as MMEngine's runner builds them."""
    cfg = Config.fromfile(ROOT / name)
    model = MODELS.build(reduce_model(cfg.model))
    return cfg, model, build_optim_wrapper(model, cfg.optim_wrapper)


def rates(model, wrapper):
    """Learning rate by name of parameter."""
    by_id = {id(p): group for group in wrapper.optimizer.param_groups for p in group['params']}
    assert all(group['weight_decay'] == 1e-4 for group in by_id.values())
    return {name: by_id[id(p)]['lr'] for name, p in model.named_parameters() if p.requires_grad}


def video_rate(name):
    if name.startswith('backbone.'):
        return 1e-5
    if 'sampling_offsets' in name or name.startswith('reference_points'):
        return 1e-5
    return 1e-4


def image_rate(name):
    if name.startswith(('backbone.', 'neck.')):
        return 1e-5
    if 'sampling_offsets' in name or name.startswith('reference_points'):
        return 2e-6
    return 2e-4 if name.startswith('bbox_head.mask_head.') else 2e-5


@pytest.mark.parametrize('name', VIDEO)
def test_video_recipe(name):
    cfg, model, wrapper = optimiser_of(name)
    found = rates(model, wrapper)
    assert found == pytest.approx({key: video_rate(key) for key in found})
    assert sum('temporal_sampling_offsets' in key for key in found) == 24
    assert any(key.startswith('bbox_head.cls_branches') for key in found)
    assert cfg.auto_scale_lr.base_batch_size == 4
    # It starts from what the COCO stage on the same backbone leaves.
    image = f'deformable-mask-detr_{name.split("_")[1]}_8xb2-24e_coco'
    (hook,) = cfg.custom_hooks
    assert hook.checkpoint == f'work_dirs/{image}/epoch_24.pth'
    assert (ROOT / f'{image}.py').is_file()
    check_shared(cfg, wrapper, name)


@pytest.mark.parametrize('name', IMAGE)
def test_image_recipe(name):
    cfg, model, wrapper = optimiser_of(name)
    found = rates(model, wrapper)
    assert found == pytest.approx({key: image_rate(key) for key in found})
    assert not any(key.startswith('bbox_head.cls_branches') for key in found)
    assert cfg.auto_scale_lr.base_batch_size == 16
    check_shared(cfg, wrapper, name)


def check_shared(cfg, wrapper, name):
    """Optimiser, clipping and schedule; the file's name says how long it trains."""
    assert isinstance(wrapper.optimizer, torch.optim.AdamW)
    assert wrapper.clip_grad_kwargs == dict(max_norm=0.1, norm_type=2)
    epochs = next(key for key in DROPS if f'-{key}_' in name)
    (schedule,) = cfg.param_scheduler
    assert schedule.milestones == DROPS[epochs] and schedule.gamma == 0.1
    assert cfg.train_cfg.max_epochs == schedule.end == int(epochs[:-1])


def test_resnet_stem_and_first_stage_are_frozen():
    _, model, _ = optimiser_of(VIDEO[0])
    frozen = {
        key.split('.')[1]
        for key, p in model.named_parameters()
        if key.startswith('backbone') and 'conv' in key and not p.requires_grad
    }
    assert frozen == {'conv1', 'layer1'}
    norms = [m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not any(p.requires_grad for norm in norms for p in norm.parameters())
    model.train()
    assert not any(norm.training for norm in norms)


def test_a_part_that_does_not_exist_cannot_be_frozen():
    cfg = Config.fromfile(ROOT / IMAGE[0])
    cfg.model.frozen_parts = ('bbox_head.classes',)
    with pytest.raises(ValueError, match=r'bbox_head\.classes'):
        MODELS.build(reduce_model(cfg.model))
