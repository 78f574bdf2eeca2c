"""Clips of different sizes in one batch, and what lies in their padding."""

from pathlib import Path

import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdevis.testing import build_reduced, random_clips

CONFIGS = Path(__file__).parents[2] / 'configs' / 'devis'
VIDEO = 'devis_r50_4xb1-9e_youtubevis2019.py'
FULL_ATTENTION = 'ablations/vistr_r50-t6-4levels_4xb1-10e_youtubevis2019.py'
RAW_MASK_HEAD = 'ablations/devis_r50-instance-aware_4xb1-10e_youtubevis2019.py'
SIZES = [(64, 96), (96, 70), (50, 130)]
PADDED = (96, 130)
# Two arithmetic orders of one sum in single precision.
ATOL = 2e-5

register_all_modules(init_default_scope=True)


def build(name, **overrides):
    cfg = Config.fromfile(CONFIGS / name)
    cfg.merge_from_dict({'model.num_frames': 3, 'model.num_queries': 15})
    cfg.merge_from_dict({f'model.{key}': value for key, value in overrides.items()})
    cfg.merge_from_dict({'model.test_cfg.stride': 1})
    model = build_reduced(cfg)
    # Boxes and offsets start at zero; random ones depend on the features.
    for branch in model.bbox_head.reg_branches:
        torch.nn.init.normal_(branch[-1].weight, std=0.1)
    for name, parameter in model.named_parameters():
        if 'sampling_offsets.weight' in name or 'attention_weights.weight' in name:
            torch.nn.init.normal_(parameter, std=0.05)
        if 'offset_conv.weight' in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def clips_of(index=None):
    clips, samples = random_clips(3, SIZES, 40, padded=PADDED)
    return (clips, samples) if index is None else (clips[index][None], [samples[index]])


def everything(model, clips, samples):
    """Raw outputs and mask logits of all queries."""
    frames = [frame for sample in samples for frame in sample.video_data_samples]
    outputs = model.forward_clips(clips.flatten(0, 1), frames)
    head = model.bbox_head
    logits, boxes = head(outputs['hidden_states'], outputs['references'])
    embeddings = outputs['hidden_states'][-1].unflatten(1, (3, -1))
    masks = [
        head.mask_head(embeddings[b], **outputs['mask_features'].clip(b)) for b in range(len(clips))
    ]
    return dict(logits=logits, boxes=boxes, masks=torch.stack(masks, 1))


@pytest.mark.parametrize('name', [VIDEO, FULL_ATTENTION, RAW_MASK_HEAD])
@torch.no_grad()
def test_predictions_in_a_batch_are_those_of_the_clip_alone(name):
    model = build(name).eval()
    batch = everything(model, *clips_of())
    for b in range(len(SIZES)):
        for key, value in everything(model, *clips_of(b)).items():
            torch.testing.assert_close(batch[key][:, b], value[:, 0], atol=ATOL, rtol=0)


def test_losses_of_a_batch_are_those_of_its_clips():
    model = build(VIDEO).train()  # which also tells the batch norms to stay as they are
    clips, samples = clips_of()
    batch = model(clips, samples, mode='loss')
    instances = [2, 2, 2]
    alone = [model(*clips_of(b), mode='loss') for b in range(len(SIZES))]
    for name, value in batch.items():
        # Each normaliser is the number of instances times frames.
        expected = sum(n * losses[name] for n, losses in zip(instances, alone)) / sum(instances)
        torch.testing.assert_close(value, expected, atol=1e-6, rtol=2e-5)


@pytest.mark.parametrize('name', [VIDEO, FULL_ATTENTION, RAW_MASK_HEAD])
@pytest.mark.parametrize('part', ['backbone', 'neck', 'encoder'])
@torch.no_grad()
def test_what_lies_in_the_padding_changes_nothing(name, part):
    model = build(name).eval()
    clips, samples = clips_of()
    before = everything(model, clips, samples)
    changed = []

    def disturb(module, args, kwargs, output):
        if part == 'encoder':
            padding = kwargs['key_padding_mask']
            changed.append(int(padding.sum()))
            return output + 100.0 * torch.randn_like(output) * padding[..., None]
        maps = []
        for feature in output:
            height, width = feature.shape[-2:]
            padding = torch.zeros(feature.shape[0], 1, height, width)
            for frame in range(len(padding)):
                # As the transformer's mask: a pixel counts by the input pixel it stands for.
                valid_height, valid_width = SIZES[frame // 3]
                rows = (torch.arange(height) * PADDED[0] / height).floor() >= valid_height
                columns = (torch.arange(width) * PADDED[1] / width).floor() >= valid_width
                padding[frame, 0] = rows[:, None] | columns
            changed.append(int(padding.sum()))
            maps.append(feature + 100.0 * torch.randn_like(feature) * padding)
        return tuple(maps)

    getattr(model, part).register_forward_hook(disturb, with_kwargs=True)
    after = everything(model, clips, samples)
    assert sum(changed) > 0
    for key, value in before.items():
        assert torch.isfinite(value).all()
        torch.testing.assert_close(after[key], value, atol=ATOL, rtol=0)


def test_image_models_see_the_padding_as_in_the_release():
    # That is what its weights were trained with, and what its numbers hold.
    cfg = Config.fromfile(CONFIGS / 'deformable-mask-detr_r50_8xb2-24e_coco.py')
    assert not cfg.model.get('ignore_padding', False)
    assert Config.fromfile(CONFIGS / VIDEO).model.ignore_padding


@torch.no_grad()
def test_a_batch_predicts_videos_one_by_one():
    model = build(VIDEO).eval()
    clips, samples = random_clips(3, [(64, 96)] * 2, 40)
    together = model(clips, samples, mode='predict')
    for b in range(2):
        _, fresh = random_clips(3, [(64, 96)] * 2, 40)
        (alone,) = model(clips[b][None], [fresh[b]], mode='predict')
        for first, second in zip(together[b].video_data_samples, alone.video_data_samples):
            first, second = first.pred_track_instances, second.pred_track_instances
            assert first.instances_id.tolist() == second.instances_id.tolist()
            torch.testing.assert_close(first.scores, second.scores)
