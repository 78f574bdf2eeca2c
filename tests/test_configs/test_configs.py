"""Every config at reduced width: it builds, trains one step and predicts."""

from pathlib import Path

import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdevis.testing import build_reduced, random_clips

ROOT = Path(__file__).parents[2] / 'configs' / 'devis'
# The demo's and those for small data sets are small already and have tests of their own.
NAMES = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.glob('**/*.py')
    if '_base_' not in path.parts and 'synthvis' not in path.name and '-style' not in path.name
)
VIDEO = [name for name in NAMES if 'mask-detr' not in name]
IMAGE = [name for name in NAMES if 'mask-detr' in name]
SIZE = (32, 48)

register_all_modules(init_default_scope=True)


def load(name):
    return Config.fromfile(ROOT / name)


def model_of(name):
    return build_reduced(load(name))


def check_step(model, losses):
    """All losses are finite, and reach every parameter that is trained."""
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize('name', VIDEO)
def test_video_config(name):
    cfg = load(name)
    model = model_of(name)
    frames, classes = model.num_frames, model.bbox_head.num_classes
    dataset = cfg.train_dataloader.dataset
    for part in dataset.get('datasets', [dataset]):
        assert part.num_frames == frames
    assert model.num_queries % frames == 0
    # Two frames of consecutive clips are common to both, or more.
    assert frames - model.test_cfg['stride'] >= min(2, frames - 1)

    clips, samples = random_clips(frames, [SIZE], classes)
    model.train()
    losses = model(clips, samples, mode='loss')
    assert {'loss_cls', 'loss_bbox', 'loss_iou', 'loss_mask', 'loss_dice'} <= set(losses)
    check_step(model, losses)

    model.eval()
    with torch.no_grad():
        clip = model.predict_clip(clips, range(frames), SIZE, (20, 30))
    kept = min(model.test_cfg['max_per_clip'], model.num_queries // frames * classes)
    assert clip.scores.shape == (kept, frames)
    assert clip.masks.shape[1:] == (frames, 20, 30)
    assert 0 <= clip.masks.min() and clip.masks.max() <= 1


@pytest.mark.parametrize('name', IMAGE)
def test_image_config(name):
    model = model_of(name)
    clips, samples = random_clips(1, [SIZE, (32, 40)], model.bbox_head.num_classes)
    images = clips[:, 0]
    samples = [sample[0] for sample in samples]
    model.train()
    check_step(model, model(images, samples, mode='loss'))
    model.eval()
    with torch.no_grad():
        results = model(images, samples, mode='predict')
    for sample, size in zip(results, (SIZE, (32, 40))):
        found = sample.pred_instances
        assert found.masks.shape == (50, *size)
        assert (
            found.bboxes.min() >= 0 and (found.bboxes.amax(0)[2:] <= torch.tensor(size[::-1])).all()
        )
        assert (found.scores[:-1] >= found.scores[1:]).all()


def test_whole_video_through_the_model():
    # 9 frames with T = 6 and stride 4: a second clip that ends with the video.
    model = model_of('devis_r50_4xb1-9e_youtubevis2019.py').eval()
    video, samples = random_clips(9, [SIZE], 40)
    with torch.no_grad():
        (result,) = model(video, samples, mode='predict')
    tracks = [frame.pred_track_instances for frame in result.video_data_samples]
    assert len(tracks) == 9
    ids = [set(frame.instances_id.tolist()) for frame in tracks]
    assert ids[0] & ids[-1]
    assert all(mask['size'] == list(SIZE) for frame in tracks for mask in frame.masks)


def differences(first, second, path=''):
    """Keys in which two configs differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        keys = sorted(set(first) | set(second))
        return [
            line for k in keys for line in differences(first.get(k), second.get(k), f'{path}.{k}')
        ]
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        first, second = list(first), list(second)
    return [] if first == second else [path.lstrip('.')]


def test_ladder_ends_at_the_final_model():
    last = load('ablations/devis_r50-aux-weights_4xb1-10e_youtubevis2019.py')
    final = load('devis_r50_4xb1-9e_youtubevis2019.py')
    assert differences(last.model, final.model) == ['test_cfg.max_per_clip']
    assert differences(last.train_dataloader, final.train_dataloader) == []
    assert differences(last.test_dataloader, final.test_dataloader) == []


def test_mask_head_rows_end_at_the_final_model():
    last = load('ablations/deformable-mask-detr_r50-end-to-end_8xb2-24e_coco.py')
    final = load('deformable-mask-detr_r50_8xb2-24e_coco.py')
    assert differences(last.model, final.model) == []


@pytest.mark.parametrize('row', ['ktemp4', 'cues-mask-score-class'])
def test_rows_of_the_final_model_change_nothing(row):
    row = load(f'ablations/devis_r50-{row}_4xb1-9e_youtubevis2019.py')
    assert differences(row.model, load('devis_r50_4xb1-9e_youtubevis2019.py').model) == []


def test_masks_of_all_queries_give_the_same_losses():
    name = 'ablations/deformable-mask-detr_r50-detr-head_8xb2-24e_coco.py'
    model = model_of(name)
    clips, samples = random_clips(1, [SIZE], 80)
    samples = [sample[0] for sample in samples]
    every = model(clips[:, 0], samples, mode='loss')
    model.bbox_head.only_matched_masks = True
    matched = model(clips[:, 0], samples, mode='loss')
    for key, value in matched.items():
        torch.testing.assert_close(every[key], value)
