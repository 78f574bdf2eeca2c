"""Backbones in channels-last order give the same results, and nothing else changes."""

import copy
from pathlib import Path

import torch
from mmengine.config import Config

from mmdevis.models.detectors.deformable_mask_detr import unpadded_samples
from mmdevis.testing import build_reduced
from mmdevis.utils.memory_format import lay_out_for_inference

CONFIG = Path(__file__).parents[2] / 'configs/devis/devis_r50_4xb1-9e_youtubevis2019.py'


def is_turned(weight: torch.Tensor) -> bool:
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


def test_same_results_from_turned_backbone():
    model = build_reduced(Config.fromfile(CONFIG)).eval()
    turned = copy.deepcopy(model)
    lay_out_for_inference(turned)
    wide = [
        name
        for name, p in model.backbone.named_parameters()
        if p.dim() == 4 and p[0, 0].numel() > 1
    ]
    assert wide and all(is_turned(turned.backbone.get_parameter(name)) for name in wide)
    assert not any(is_turned(p) for p in turned.bbox_head.parameters() if p.dim() == 4)
    inputs = torch.randn(6, 3, 64, 96)
    with torch.no_grad():
        one, other = (m.forward_clips(inputs, unpadded_samples(inputs)) for m in (model, turned))
    torch.testing.assert_close(other['hidden_states'], one['hidden_states'], rtol=1e-4, atol=1e-5)


def test_weights_loaded_later_keep_the_order():
    model = torch.nn.ModuleDict(dict(backbone=torch.nn.Conv2d(4, 8, 3)))
    state = {name: torch.randn_like(value) for name, value in model.state_dict().items()}
    lay_out_for_inference(model)
    model.load_state_dict(state)
    assert is_turned(model.backbone.weight)
    assert torch.equal(model.backbone.weight, state['backbone.weight'])
