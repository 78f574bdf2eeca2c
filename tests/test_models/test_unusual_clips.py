"""Clips that real data holds now and then: nothing on them, hardly anything, too much, or NaN."""

from pathlib import Path

import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdevis.models.task_modules import build_clip_targets
from mmdevis.testing import build_reduced, random_clips
from mmdevis.utils.losses import NonFiniteLossError

CONFIGS = Path(__file__).parents[2] / 'configs' / 'devis'
# The smallest config has one loss more than the others: that of every pixel's class.
DEMO = 'devis_r18_1xb4-demo_synthvis.py'
PAPER = 'devis_r50_4xb1-9e_youtubevis2019.py'
SIZE = (32, 48)

register_all_modules(init_default_scope=True)


def build(name, **settings):
    cfg = Config.fromfile(CONFIGS / name)
    sizes = {'num_frames': 3, 'num_queries': 15, 'test_cfg.stride': 2, **settings}
    cfg.merge_from_dict({f'model.{key}': value for key, value in sizes.items()})
    return build_reduced(cfg).train()


@pytest.fixture(scope='module', params=[DEMO, PAPER])
def model(request):
    return build(request.param)


def nothing(sample):
    for frame in sample.video_data_samples:
        frame.gt_instances = frame.gt_instances[:0]


def empty_masks(sample):
    for frame in sample.video_data_samples:
        frame.gt_instances.masks.masks[:] = 0


def only_on_the_last_frame(sample):
    for frame in sample.video_data_samples[:-1]:
        frame.gt_instances = frame.gt_instances[:0]


def one_pixel(sample):
    for frame in sample.video_data_samples:
        frame.gt_instances.masks.masks[:] = 0
        frame.gt_instances.masks.masks[:, -1:, -1:] = 1
        frame.gt_instances.bboxes[:] = torch.tensor([SIZE[1] - 1, SIZE[0] - 1, SIZE[1], SIZE[0]])


def as_it_is(sample):
    pass


def check_learns(model, clips, samples):
    """All losses are finite, and so are the gradients of everything that is trained."""
    model.zero_grad(set_to_none=True)
    losses = model(clips, samples, mode='loss')
    sum(losses.values()).backward()
    for name, loss in losses.items():
        assert torch.isfinite(loss), name
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
    return losses


@pytest.mark.parametrize(
    ('change', 'instances', 'present'),
    [
        (nothing, 2, 0),
        (empty_masks, 2, 0),
        (only_on_the_last_frame, 2, 1),  # the first of the two is absent there
        (one_pixel, 2, 2),
        (as_it_is, 7, 7),  # 5 trajectories
    ],
    ids=lambda value: getattr(value, '__name__', None),
)
def test_trains(model, change, instances, present):
    clips, samples = random_clips(
        3, [SIZE], model.bbox_head.num_classes, num_instances=instances, seed=1
    )
    change(samples[0])
    frames = samples[0].video_data_samples
    assert len(build_clip_targets(frames, torch.device('cpu'))) == present
    losses = check_learns(model, clips, samples)
    assert (losses['loss_mask'] == 0) == (present == 0)
    assert losses['loss_cls'] > 0


def test_a_clip_without_objects_beside_one_with(model):
    clips, samples = random_clips(3, [SIZE, SIZE], model.bbox_head.num_classes)
    nothing(samples[0])
    losses = check_learns(model, clips, samples)
    assert losses['loss_mask'] > 0


def test_a_loss_that_is_not_finite_names_itself_and_the_frames(model):
    clips, samples = random_clips(3, [SIZE], model.bbox_head.num_classes)
    for index, frame in enumerate(samples[0].video_data_samples):
        frame.set_metainfo(dict(video_id=5, frame_id=index, img_path=f'dog/{index}.jpg'))
    clips[0, 1, 0, 3, 4] = float('nan')  # one broken pixel
    with pytest.raises(NonFiniteLossError) as error:
        model(clips, samples, mode='loss')
    assert 'loss_cls = [nan]' in str(error.value)
    assert 'video 5, frames 0, 1, 2 (dog/0.jpg .. dog/2.jpg)' in str(error.value)


@pytest.mark.parametrize(
    ('break_it', 'message'),
    [
        (lambda frames: frames[1].gt_instances.instances_ids.fill_(10), 'ids occur twice'),
        (lambda frames: frames[1].gt_instances.labels.add_(1), 'on an earlier frame of the clip'),
        (lambda frames: frames[1].gt_instances.pop('instances_ids'), 'without gt_instances'),
    ],
)
def test_ground_truth_that_contradicts_itself_names_the_frame(break_it, message):
    _, (sample,) = random_clips(3, [SIZE], 5)
    frames = sample.video_data_samples
    frames[1].set_metainfo(dict(img_path='dog/1.jpg'))
    break_it(frames)
    with pytest.raises(ValueError, match=rf'dog/1\.jpg.*{message}'):
        build_clip_targets(frames, torch.device('cpu'))


def test_a_clip_of_another_length_says_what_the_pipeline_must_do(model):
    clips, samples = random_clips(2, [SIZE], 5)
    with pytest.raises(ValueError, match='must sample num_frames=3'):
        model(clips, samples, mode='loss')


def test_three_dimensional_sine_encoding_trains_too():
    model = build(PAPER, **{'positional_encoding.temporal': 'sine'})
    assert 'positional_encoding.temporal_embed' not in model.state_dict()
    clips, samples = random_clips(3, [SIZE], model.bbox_head.num_classes)
    check_learns(model, clips, samples)
