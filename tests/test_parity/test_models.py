"""Whole models of real configs against the official release, with its weights by rule.

A case is one test: building a model of 48 M parameters takes longer than comparing all it gives.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmdevis.checkpoints import convert_official, official_names, revert_to_official
from mmdevis.models.detectors.deformable_mask_detr import unpadded_samples
from mmdevis.models.task_modules import build_clip_targets
from mmdevis.testing import Mismatches, official_weights, standard_normal

CONFIGS = Path(__file__).parents[2] / 'configs' / 'devis'
# Logits, boxes and states; mask logits; losses and gradient norms (relative).
ATOL, MASK_ATOL, LOSS_RTOL, GRAD_RTOL = 5e-5, 5e-4, 1e-5, 2e-3
# The largest gradient that may be lost in rounding.
SMALL_NORM = 1e-4
LOSSES = dict(
    loss_ce='loss_cls',
    loss_bbox='loss_bbox',
    loss_giou='loss_iou',
    loss_mask='loss_mask',
    loss_dice='loss_dice',
)

VIDEO_CASES = {
    'vis_r50': 'devis_r50_4xb1-9e_youtubevis2019.py',
    'vis_no_gt': 'devis_r50_4xb1-9e_youtubevis2019.py',
    'vis_r50_no_temporal': 'ablations/devis_r50-ktemp0_4xb1-9e_youtubevis2019.py',
    'vis_ablation2_single_scale': ('ablations/deformable-vistr_r50-t6_4xb1-10e_youtubevis2019.py'),
}


def build(config, shapes, overrides=None):
    """The model of a config without dropout, with the weights that follow the rules."""
    cfg = Config.fromfile(CONFIGS / config)
    cfg.merge_from_dict(overrides or {})
    cfg = cfg.model
    cfg.backbone.init_cfg = None
    for part in (cfg.encoder, cfg.decoder):
        part.layer_cfg.ffn_cfg.ffn_drop = 0.0
        for name in ('self_attn_cfg', 'cross_attn_cfg'):
            if name in part.layer_cfg:
                part.layer_cfg[name].dropout = 0.0
    model = MODELS.build(cfg)
    official = official_weights(shapes)
    weights, extra = convert_official(official, model.state_dict())
    model.load_state_dict(weights, strict=True)
    back = revert_to_official(weights, extra)
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], value) for key, value in official.items())
    return model


def count_parameters(model):
    """All parameters except the batch norms', which the release keeps as buffers."""
    frozen = {
        id(parameter)
        for module in model.backbone.modules()
        if isinstance(module, torch.nn.BatchNorm2d)
        for parameter in module.parameters()
    }
    return sum(p.numel() for p in model.parameters() if id(p) not in frozen)


def compare_training(found, model, inputs, samples, numbers):
    """Losses and gradients of one training step."""
    model.train()
    losses = model(inputs, samples, mode='loss')
    official = {}
    for name, value, weight in zip(
        numbers['loss_names'], numbers['loss_values'], numbers['loss_weights']
    ):
        if name != 'class_error':
            kind, _, layer = str(name).rpartition('_')
            ours = f'd{layer}.{LOSSES[kind]}' if layer.isdigit() else LOSSES[str(name)]
            official[ours] = float(value * weight)
    assert set(losses) == set(official)
    for name, value in official.items():
        found.compare_relative(name, losses[name].item(), value, LOSS_RTOL)
    total = sum(losses.values())
    found.compare_relative('loss', total.item(), float(numbers['loss_total']), LOSS_RTOL)
    total.backward()

    names = official_names(model.state_dict())
    norms = {
        names[name]: parameter.grad.norm().item()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    # Box branches have two names in the release, one of them in its list.
    official_keys = [
        str(key).replace('transformer.decoder.bbox_embed', 'bbox_embed')
        for key in numbers['grad_names']
    ]
    wanted = dict(zip(official_keys, numbers['grad_norms'].tolist()))
    assert set(wanted) == set(norms)
    for name, norm in wanted.items():
        if norm > SMALL_NORM:
            found.compare_relative(f'gradient of {name}', norms[name], norm, GRAD_RTOL)
        else:
            found.compare(f'gradient of {name}', np.array(norms[name]), np.array(norm), SMALL_NORM)


def video_sample(case, numbers):
    """Ground truth of a clip; an object that is absent on a frame is not in that frame."""
    frames, (height, width) = case['T'], (case['H'], case['W'])
    rows = np.arange(len(numbers['target_labels'])).reshape(-1, frames)
    scale = torch.tensor([width, height, width, height])
    samples = []
    for t in range(frames):
        present = [i for i, row in enumerate(rows) if numbers['target_valid'][row[t]]]
        row = rows[present, t]
        frame = DetDataSample(
            metainfo=dict(
                img_shape=(height, width),
                ori_shape=(height, width),
                batch_input_shape=(height, width),
            )
        )
        frame.gt_instances = InstanceData(
            bboxes=bbox_cxcywh_to_xyxy(torch.from_numpy(numbers['target_boxes'][row])) * scale,
            labels=torch.from_numpy(numbers['target_labels'][row]),
            masks=BitmapMasks(numbers['target_masks'][row].astype(np.uint8), height, width),
            instances_ids=torch.tensor(present, dtype=torch.long),
        )
        samples.append(frame)
    return TrackDataSample(video_data_samples=samples)


def compare_targets(found, sample, case, numbers):
    """Trajectories built from per-frame annotations, absent frames filled in."""
    targets = build_clip_targets(sample.video_data_samples, torch.device('cpu'))
    if len(targets):
        found.compare('target boxes', targets.boxes.flatten(0, 1), numbers['target_boxes'], 1e-6)
        found.compare('target masks', targets.masks.flatten(0, 1), numbers['target_masks'], 0)
        found.compare('target valid', targets.valid.flatten(), numbers['target_valid'], 0)
    return targets


def compare_assignment(found, model, outputs, targets, case, numbers):
    """The last layer's matches, and the masks that training gives the matched trajectories."""
    head, frames = model.bbox_head, case['T']
    logits = head.cls_branches[-1](outputs['hidden_states'][-1])[0].unflatten(0, (frames, -1))
    boxes = outputs['references'][-1][0].unflatten(0, (frames, -1))
    queries, instances = head.assigner.assign(logits, boxes, targets, (case['H'], case['W']))
    embeddings = outputs['hidden_states'][-1][0].unflatten(0, (frames, -1))
    if len(targets):
        matches = numbers['match_query'].reshape(-1, frames)
        per_frame = torch.arange(frames) * logits.shape[1] + queries[:, None]
        found.compare('matched queries', per_frame, matches, 0)
        rows = torch.arange(frames) + frames * instances[:, None]
        found.compare('matched targets', rows.flatten(), numbers['match_target'], 0)
        valid = targets.valid[instances].flatten()
        found.compare('matched valid', valid, numbers['match_valid'], 0)
    else:
        # The release decodes one trajectory, so that all parameters stay connected.
        queries = torch.zeros(1, dtype=torch.long)
    masks = head.mask_head(embeddings[:, queries], **outputs['mask_features'].clip(0))
    found.compare('training masks', masks.flatten(0, 1), numbers['train_pred_masks'], MASK_ATOL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'backend'),
    [
        *((name, 'auto') for name in VIDEO_CASES),
        *(('vis_r50', backend) for backend in ('reference', 'gather', 'mmcv')),
    ],
)
@torch.no_grad()
def test_video_model(name, backend, load_numbers, monkeypatch):
    monkeypatch.setenv('MMDEVIS_ATTN_BACKEND', backend)
    case, numbers = load_numbers(name)
    frames, height, width = case['T'], case['H'], case['W']
    model = build(VIDEO_CASES[name], case['state_shapes'])
    found = Mismatches()
    assert count_parameters(model) == case['params']

    clip = standard_normal(case['seed'], (frames, 3, height, width))
    model.eval()
    outputs = model.forward_clips(clip, unpadded_samples(clip))
    head = model.bbox_head
    logits, boxes = head(outputs['hidden_states'], outputs['references'])
    found.compare('logits', logits[:, 0], numbers['cls_logits'], ATOL)
    found.compare('boxes', boxes[:, 0], numbers['boxes_cxcywh'], ATOL)
    found.compare('states', outputs['hidden_states'][-1, 0], numbers['last_hidden'], ATOL)
    for i, level in enumerate(outputs['memory']):
        found.compare(f'memory {i}', level[0].mean((-1, -2)), numbers[f'memory_l{i}_mean_c'], ATOL)
    found.compare('memory', outputs['memory'][-1][0], numbers['memory_last'], ATOL)

    best = head.select(
        outputs['hidden_states'][-1],
        logits[-1],
        boxes[-1],
        outputs['mask_features'],
        0,
        model.test_cfg['max_per_clip'],
    )
    found.compare('top queries', best.queries, numbers['topk_query'], 0)
    found.compare('top labels', best.labels + 1, numbers['pred_labels'][0], 0)
    found.compare('top scores', best.scores.t(), numbers['pred_scores'], ATOL)
    found.compare('mask index', best.mask_index, numbers['pred_mask_index'], 0)
    found.compare('masks', best.masks.transpose(0, 1), numbers['pred_masks'], MASK_ATOL)
    top_boxes = best.boxes.transpose(0, 1)
    found.compare('centres', top_boxes[..., :2], numbers['pred_center_points'], ATOL)
    # The release's are in pixels and cut off at the frame.
    corners = bbox_cxcywh_to_xyxy(top_boxes).clamp(0, 1)
    size = np.array([width, height, width, height])
    found.compare('top boxes', corners, numbers['pred_boxes'] / size, ATOL)

    sample = video_sample(case, numbers)
    targets = compare_targets(found, sample, case, numbers)
    compare_assignment(found, model, outputs, targets, case, numbers)
    del outputs
    with torch.enable_grad():
        compare_training(found, model, clip[None], [sample], numbers)
    assert not found.lines, f'{name} differs from the release:\n{found}'


@pytest.mark.slow
@torch.no_grad()
def test_image_model(load_numbers):
    case, numbers = load_numbers('coco_r50')
    model = build(
        'deformable-mask-detr_r50_8xb2-24e_coco.py',
        case['state_shapes'],
        # The numbers have all 91 logits and a class head that is trained.
        {'model.bbox_head.num_classes': 91, 'model.frozen_parts': ()},
    )
    found = Mismatches()
    assert count_parameters(model) == case['params']

    padded = tuple(np.max(case['sizes'], axis=0).tolist())
    images, samples = torch.zeros(len(case['sizes']), 3, *padded), []
    for i, (height, width) in enumerate(case['sizes']):
        images[i, :, :height, :width] = standard_normal(case['seed'] + i, (3, height, width))
        meta = dict(img_shape=(height, width), ori_shape=(height, width))
        sample = DetDataSample(metainfo=dict(meta, batch_input_shape=padded))
        masks = np.zeros((len(numbers[f'target{i}_labels']), *padded), np.uint8)
        masks[:, :height, :width] = numbers[f'target{i}_masks']
        boxes = bbox_cxcywh_to_xyxy(torch.from_numpy(numbers[f'target{i}_boxes']))
        sample.gt_instances = InstanceData(
            bboxes=boxes * torch.tensor([width, height, width, height]),
            labels=torch.from_numpy(numbers[f'target{i}_labels']),
            masks=BitmapMasks(masks, *padded),
        )
        samples.append(sample)

    model.eval()
    outputs = model.forward_clips(images, samples)
    head = model.bbox_head
    logits, boxes = head(outputs['hidden_states'], outputs['references'])
    found.compare('logits', logits[[0, -1]], numbers['cls_logits'], ATOL)
    found.compare('boxes', boxes[[0, -1]], numbers['boxes_cxcywh'], ATOL)
    results = model.predict(images, samples)
    for b, (height, width) in enumerate(case['sizes']):
        best = head.select(
            outputs['hidden_states'][-1], logits[-1], boxes[-1], outputs['mask_features'], b, 50
        )
        found.compare(f'{b}: scores', best.scores[:, 0], numbers['pred_scores'][b], ATOL)
        found.compare(f'{b}: labels', best.labels, numbers['pred_labels'][b], 0)
        masks = best.masks[best.mask_index, 0]
        # The file rounds to half precision.
        rounding = 2**-11 * np.abs(numbers['pred_masks'][b].astype(np.float32)).max()
        found.compare(f'{b}: masks', masks, numbers['pred_masks'][b], MASK_ATOL + rounding)
        official_boxes = torch.from_numpy(numbers['pred_boxes'][b])
        found.compare(f'{b}: boxes', best.boxes[:, 0], official_boxes, ATOL)
        size = torch.tensor([width, height, width, height])
        corners = bbox_cxcywh_to_xyxy(official_boxes).clamp(0, 1)
        predicted = results[b].pred_instances.bboxes / size
        found.compare(f'{b}: boxes in pixels', predicted, corners, ATOL)
        targets = build_clip_targets([samples[b]], torch.device('cpu'))
        queries, instances = head.assigner.assign(
            logits[-1, b][None], boxes[-1, b][None], targets, (height, width)
        )
        found.compare(f'{b}: matched queries', queries, numbers[f'match_query_{b}'], 0)
        found.compare(f'{b}: matched targets', instances, numbers[f'match_target_{b}'], 0)
    del outputs
    with torch.enable_grad():
        compare_training(found, model, images, samples, numbers)
    assert not found.lines, f'coco_r50 differs from the release:\n{found}'
