"""Backbones in channels-last order give the same results, and nothing else changes."""

import copy
from pathlib import Path

import torch
from mmengine.config import Config

from mmdevis.models.detectors.deformable_mask_detr import unpadded_samples
from mmdevis.testing import build_reduced
from mmdevis.testing.whole_models import CONFIGS, build_random, load_config
from mmdevis.utils.memory_format import lay_out_for_inference

DEVIS = Path(__file__).parents[2] / 'configs/devis/devis_r50_4xb1-9e_youtubevis2019.py'


def is_turned(weight: torch.Tensor) -> bool:
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


def test_same_results_from_turned_backbone():
    model = build_reduced(Config.fromfile(DEVIS)).eval()
    turned = copy.deepcopy(model)
    lay_out_for_inference(turned)
    wide = [
        name
        for name, p in model.backbone.named_parameters()
        if p.dim() == 4 and p[0, 0].numel() > 1
    ]
    assert wide and all(is_turned(turned.backbone.get_parameter(name)) for name in wide)
    assert not any(is_turned(p) for p in turned.bbox_head.parameters() if p.dim() == 4)
    assert turned.reads_channels_last and not turned.backbone._forward_hooks
    inputs = torch.randn(6, 3, 64, 96)
    with torch.no_grad():
        one, other = (m.forward_clips(inputs, unpadded_samples(inputs)) for m in (model, turned))
    torch.testing.assert_close(other['hidden_states'], one['hidden_states'], rtol=1e-4, atol=1e-5)


def test_peers_say_the_same_with_a_turned_backbone():
    # MaskTrack R-CNN's RoIAlign reads maps in the usual order whatever their strides say.
    cfg = load_config(CONFIGS['masktrack-rcnn']).model
    model = build_random(cfg)
    turned = copy.deepcopy(model)
    lay_out_for_inference(turned)
    assert is_turned(turned.detector.backbone.conv1.weight)
    frames = torch.randn(1, 3, 96, 160)
    boxes = torch.tensor([[0, 10.0, 12.0, 60.0, 80.0], [0, 50.0, 20.0, 150.0, 90.0]])
    with torch.no_grad():
        one, other = (
            m.detector.roi_head._bbox_forward(m.detector.extract_feat(frames), boxes)
            for m in (model, turned)
        )
    for name in ('cls_score', 'bbox_pred'):
        torch.testing.assert_close(other[name], one[name], rtol=1e-4, atol=1e-5)


def test_a_wrapper_does_not_hide_what_the_model_reads():
    model = torch.nn.Sequential(build_reduced(Config.fromfile(DEVIS)))
    lay_out_for_inference(model)
    assert is_turned(model[0].backbone.conv1.weight) and not model[0].backbone._forward_hooks


def test_maps_leave_a_turned_backbone_in_the_usual_order():
    model = torch.nn.ModuleDict(dict(backbone=torch.nn.Conv2d(4, 8, 3)))
    for _ in range(2):  # doing it again changes nothing
        lay_out_for_inference(model)
    assert len(model.backbone._forward_hooks) == 1
    assert model.backbone(torch.randn(2, 4, 9, 9)).is_contiguous()


def test_weights_loaded_later_keep_the_order():
    model = torch.nn.ModuleDict(dict(backbone=torch.nn.Conv2d(4, 8, 3)))
    state = {name: torch.randn_like(value) for name, value in model.state_dict().items()}
    lay_out_for_inference(model)
    model.load_state_dict(state)
    assert is_turned(model.backbone.weight)
    assert torch.equal(model.backbone.weight, state['backbone.weight'])
