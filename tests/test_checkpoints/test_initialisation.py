"""Video models that start from image models: ours, MMDetection's and the release's."""

import logging

import pytest
import torch
from mmengine.config import Config

from mmdevis.checkpoints import dataset_classes, lacks_video_parts, map_class_rows, start_from_image
from mmdevis.datasets.youtube_vis import OVIS_CLASSES, youtube_vis_classes

VIDEO = 'devis_r50_4xb1-9e_youtubevis2019.py'
IMAGE = 'deformable-mask-detr_r50_8xb2-24e_coco.py'
YT19 = youtube_vis_classes('2019')


def image_state(reduced):
    state = reduced.model(IMAGE).state_dict()
    return {
        key: torch.randn_like(value) if value.is_floating_point() else value
        for key, value in state.items()
    }


def without_our_additions(state):
    """What MMDetection's Deformable DETR has of it."""
    return {
        key: value
        for key, value in state.items()
        if 'mask_head' not in key and not (key.startswith('neck') and key.endswith('conv.bias'))
    }


@pytest.mark.parametrize(
    ('source', 'fresh_parts'), [('ours', ()), ('mmdet', ('mask_head',)), ('release', ())]
)
def test_every_tensor_is_accounted_for(reduced, source, fresh_parts):
    model = reduced.model(VIDEO)
    if source == 'release':
        given = reduced.official(IMAGE)
    else:
        given = image_state(reduced)
        given = without_our_additions(given) if source == 'mmdet' else given
    assert lacks_video_parts(given, model)
    state, report = start_from_image(model, given, target_classes=YT19)
    assert state.keys() == model.state_dict().keys()
    model.load_state_dict(state, strict=True)
    assert not lacks_video_parts(state, model)
    assert report.unused == []
    allowed = ('query_embedding', 'temporal_embed', *fresh_parts)
    assert all(any(part in name for part in allowed) for name in report.fresh)
    # 6 layers in each half, offsets and weights, weight and bias.
    assert len(report.from_spatial) == 2 * 6 * 2 * 2
    mapped = [name for name in state if '.cls_branches.' in name]
    counted = {*report.copied, *report.from_spatial, *report.fresh, *mapped}
    assert all(name in counted for name in state if not name.endswith('num_batches_tracked'))
    if source != 'release':
        assert all(torch.equal(state[name], given[name]) for name in report.copied if name in given)
    if source == 'mmdet':
        assert not state['neck.convs.0.conv.bias'].any()


def test_temporal_slots_repeat_the_spatial_projection(reduced):
    given = image_state(reduced)
    model = reduced.model(VIDEO)
    state, _ = start_from_image(model, given)
    for layer in ('encoder.layers.2.self_attn.', 'decoder.layers.5.cross_attn.'):
        spatial = given[f'{layer}sampling_offsets.weight'].view(4, 1, 4, 4, 2, -1)
        temporal = state[f'{layer}temporal_sampling_offsets.weight'].view(4, 5, 4, 4, 2, -1)
        assert torch.equal(temporal, spatial.expand_as(temporal))


@pytest.mark.parametrize('queries', [10, 12])
def test_queries_of_images_can_serve_every_frame(reduced, queries):
    name = 'query_embedding.weight'
    model = reduced.model(VIDEO)  # 10 queries on each of 6 frames
    given = image_state(reduced)
    given[name] = given[name][:queries]
    fresh = model.state_dict()[name].clone()
    state, report = start_from_image(model, given, repeat_queries=True)
    if queries == 10:
        assert torch.equal(state[name].view(6, 10, -1), given[name].expand(6, -1, -1))
        assert name in report.copied
    else:
        assert torch.equal(state[name], fresh)
        assert '12 queries there, 60 here' in report.fresh[name]
    state, _ = start_from_image(model, given)
    assert torch.equal(state[name], fresh)


@pytest.mark.parametrize('points', [2, 3])
def test_fewer_temporal_points_take_the_first_ones(reduced, points):
    given = image_state(reduced)
    model = reduced.model(f'ablations/devis_r50-ktemp{points}_4xb1-9e_youtubevis2019.py')
    state, _ = start_from_image(model, given)
    layer = 'encoder.layers.0.self_attn.'
    spatial = given[f'{layer}attention_weights.bias'].view(4, 1, 4, 4)[..., :points]
    temporal = state[f'{layer}temporal_attention_weights.bias'].view(4, 5, 4, points)
    assert torch.equal(temporal, spatial.expand_as(temporal))


def test_classes_go_by_name(reduced):
    given = image_state(reduced)
    model = reduced.model(VIDEO)
    coco = dataset_classes({'type': 'CocoDataset'})
    state, report = start_from_image(model, given, target_classes=YT19)
    key = 'bbox_head.cls_branches.3.weight'
    assert torch.equal(state[key][YT19.index('person')], given[key][coco.index('person')])
    fresh = [name for name in YT19 if name not in report.classes]
    rows = [YT19.index(name) for name in fresh]
    assert torch.equal(state[key][rows], model.state_dict()[key][rows])
    assert 'ape' in fresh and 'mouse' in fresh  # COCO's mouse is no animal
    assert 'person <- person' in report.describe()

    state, report = start_from_image(model, given, target_classes=None)
    assert report.classes == {}
    assert torch.equal(state[key], model.state_dict()[key])


def test_several_classes_that_mean_one_are_averaged():
    coco = dataset_classes({'type': 'CocoDataset'})
    source, fresh = torch.randn(80, 3), torch.randn(25, 3)
    rows, partners = map_class_rows(source, fresh, coco, OVIS_CLASSES)
    assert sorted(partners['Vehicle']) == ['bus', 'car', 'truck']
    vehicles = source[[coco.index(name) for name in ('bus', 'car', 'truck')]]
    torch.testing.assert_close(rows[OVIS_CLASSES.index('Vehicle')], vehicles.mean(0))
    with pytest.raises(ValueError, match='80 and 25 class rows'):
        map_class_rows(source, fresh, coco[:5], OVIS_CLASSES)


@pytest.mark.parametrize(
    ('name', 'count'),
    [
        (VIDEO, 40),
        ('devis_r50_4xb1-12e_ovis.py', 25),
        ('devis_r50_4xb1-10e_youtubevis2021-coco.py', 40),
        (IMAGE, 80),
    ],
)
def test_class_names_are_known_without_the_data(reduced, name, count):
    classes = dataset_classes(reduced.config(name).train_dataloader.dataset)
    assert len(classes) == count


def test_a_checkpoint_of_something_else_is_refused(reduced):
    model = reduced.model(VIDEO)
    with pytest.raises(ValueError, match='0 of the 721 tensors'):
        start_from_image(model, {'layer.weight': torch.zeros(3)})


class Loop:
    pass


class Runner:
    """What the hook uses of MMEngine's runner."""

    def __init__(self, model, training=True, resume=False):
        from mmengine.runner import BaseLoop

        self.model = model
        self.cfg = Config(dict(resume=resume))
        self._train_loop = object.__new__(type('AnyLoop', (BaseLoop,), {'run': None}))
        if not training:
            self._train_loop = None
        self.train_dataloader = Loop()
        self.train_dataloader.dataset = Loop()
        self.train_dataloader.dataset.metainfo = dict(classes=YT19)
        self.loaded = []

    def load_checkpoint(self, path):
        self.loaded.append(path)


@pytest.fixture
def make_hook():
    from mmdevis.engine import StartFromImageHook

    return StartFromImageHook


def test_hook_turns_image_checkpoints_into_a_start(reduced, make_hook):
    model = reduced.model(VIDEO)
    checkpoint = dict(state_dict=image_state(reduced), meta={})
    make_hook().after_load_checkpoint(Runner(model), checkpoint)
    model.load_state_dict(checkpoint['state_dict'], strict=True)


@pytest.mark.parametrize('case', ['testing', 'resuming', 'video checkpoint'])
def test_hook_leaves_everything_else_alone(reduced, make_hook, case):
    model = reduced.model(VIDEO)
    state = model.state_dict() if case == 'video checkpoint' else image_state(reduced)
    checkpoint = dict(state_dict=state)
    runner = Runner(model, training=case != 'testing', resume=case == 'resuming')
    make_hook().after_load_checkpoint(runner, checkpoint)
    assert checkpoint['state_dict'] is state


def test_hook_loads_its_own_checkpoint_only_when_nothing_else_was(make_hook, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(
        'mmdevis.engine.hooks.start_from_image_hook.print_log',
        lambda text, level=logging.INFO, **kwargs: told.append((level, text)),
    )
    file = tmp_path / 'image.pth'
    hook, runner = make_hook(str(file)), Runner(None)
    hook.before_train(runner)
    assert runner.loaded == [] and told[0][0] == logging.WARNING
    assert str(file) in told[0][1] and 'load_from' in told[0][1]
    file.touch()
    hook.before_train(runner)
    assert runner.loaded == [str(file)]
    hook._loaded = True
    hook.before_train(runner)
    assert len(runner.loaded) == 1
