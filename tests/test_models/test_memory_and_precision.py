"""Recomputation, accumulation and mixed precision change nothing but memory and rounding."""

import copy
from pathlib import Path

import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper

from mmdevis.models.trackers import MultiCueClipTracker
from mmdevis.testing import build_reduced, random_clips

CONFIGS = Path(__file__).parents[2] / 'configs' / 'devis'
VIDEO = 'devis_r50_4xb1-9e_youtubevis2019.py'
RAW_MASK_HEAD = 'ablations/devis_r50-instance-aware_4xb1-10e_youtubevis2019.py'
SIZES = [(48, 64), (64, 40)]

register_all_modules(init_default_scope=True)


def build(name=VIDEO):
    cfg = Config.fromfile(CONFIGS / name)
    cfg.merge_from_dict({'model.num_frames': 2, 'model.num_queries': 10})
    cfg.merge_from_dict({'model.test_cfg.stride': 1})
    return build_reduced(cfg).train()


def step(model, clips, samples):
    """Sum of the losses, gradients by name, and bytes that the forward pass keeps for backward."""
    kept = []

    def pack(tensor):
        if not isinstance(tensor, torch.nn.Parameter):
            kept.append(tensor.numel() * tensor.element_size())
        return tensor

    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        total = sum(model(clips, samples, mode='loss').values())
    forward = sum(kept)
    total.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    return total.detach(), gradients, forward


@pytest.mark.parametrize('name', [VIDEO, RAW_MASK_HEAD])
def test_recomputation_saves_memory_and_changes_no_gradient(name):
    model = build(name)
    clips, samples = random_clips(2, SIZES, 40)
    loss, gradients, kept = step(model, clips, samples)
    for part in (model.encoder, model.decoder, model.bbox_head.mask_head):
        part.with_cp = True
        loss_cp, gradients_cp, kept_cp = step(model, clips, samples)
        # Each part adds its saving to those before it.
        assert kept_cp < 0.95 * kept, type(part).__name__
        kept = kept_cp
        torch.testing.assert_close(loss_cp, loss)
        for key, value in gradients.items():
            torch.testing.assert_close(gradients_cp[key], value)


def test_recomputation_is_a_config_key():
    cfg = Config.fromfile(CONFIGS / 'devis_r50-fast_1xb1-9e_youtubevis2019.py')
    model = build_reduced(cfg)
    parts = model.encoder, model.decoder, model.bbox_head.mask_head
    assert all(part.with_cp for part in parts)
    parts = (part := build()).encoder, part.decoder, part.bbox_head.mask_head
    assert not any(part.with_cp for part in parts)


def test_accumulated_gradients_are_those_of_the_larger_batch():
    """Exactly so where clips show equally many objects, by which losses are normalised."""
    clips, samples = random_clips(2, SIZES, 40)
    one = build()
    two = copy.deepcopy(one)

    def train(model, accumulative_counts, batches):
        wrapper = OptimWrapper(
            torch.optim.SGD(model.parameters(), lr=0.01),
            accumulative_counts=accumulative_counts,
            clip_grad=dict(max_norm=0.1),
        )
        wrapper.initialize_count_status(model, 0, len(batches))
        for clips, samples in batches:
            with wrapper.optim_context(model):
                losses = model(clips, samples, mode='loss')
            wrapper.update_params(sum(losses.values()))

    before = {key: value.clone() for key, value in one.named_parameters()}
    train(one, 1, [(clips, samples)])
    train(two, 2, [(clips[b][None], [samples[b]]) for b in range(2)])
    moved = 0
    for (key, first), second in zip(one.named_parameters(), two.parameters()):
        torch.testing.assert_close(first, second, atol=1e-7, rtol=1e-5)
        moved += int(not torch.equal(first, before[key]))
    assert moved > 100


def check_amp_step(model, clips, samples, wrapper):
    """One step of training; its losses are those of float32 but for rounding."""
    exact = model(clips, samples, mode='loss')
    sum(exact.values()).backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    model.zero_grad()
    with wrapper.optim_context(model):
        losses = model(clips, samples, mode='loss')
        boxes = model(clips, samples, mode='tensor')['bbox_preds']
    assert boxes.dtype == torch.float32
    for name, loss in losses.items():
        assert loss.dtype == torch.float32, name
        torch.testing.assert_close(loss, exact[name], rtol=0.05, atol=0.02, msg=name)
    before = copy.deepcopy(dict(model.named_parameters()))
    wrapper.update_params(sum(losses.values()))
    after = dict(model.named_parameters())
    assert all(torch.isfinite(p).all() for p in after.values())
    moved = {name for name, p in after.items() if not torch.equal(p, before[name])}
    assert moved == trained


@pytest.mark.parametrize('with_cp', [False, True])
def test_bfloat16_on_a_cpu(monkeypatch, with_cp):
    # MMEngine builds its wrapper only where there is a GPU; autocast itself works on CPUs.
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    model = build()
    for part in (model.encoder, model.decoder, model.bbox_head.mask_head):
        part.with_cp = with_cp
    cfg = dict(
        type='AmpOptimWrapper',
        dtype='bfloat16',
        loss_scale=1.0,
        optimizer=dict(type='SGD', lr=1.0),
    )
    check_amp_step(model, *random_clips(2, SIZES, 40), build_optim_wrapper(model, cfg))


def test_float16_on_a_cpu():
    """MMEngine refuses float16 on a CPU, PyTorch does not: all losses stay finite and close."""
    model = build()
    clips, samples = random_clips(2, SIZES, 40)
    exact = model(clips, samples, mode='loss')
    with torch.autocast('cpu', dtype=torch.float16):
        losses = model(clips, samples, mode='loss')
    for name, loss in losses.items():
        assert loss.dtype == torch.float32, name
        torch.testing.assert_close(loss, exact[name], rtol=0.02, atol=0.01, msg=name)
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_around_the_prediction_reaches_the_network_only(monkeypatch, dtype):
    """As MMEngine's loops with ``fp16=True`` do it; a video may also be opened with a dtype."""
    model = build().eval()
    clips, samples = random_clips(1, SIZES[:1], 40)
    for frame in samples[0].video_data_samples:
        frame.set_metainfo(dict(ori_shape=SIZES[0]))
    network, tracker = [], []
    update = MultiCueClipTracker.update

    def watched(self, *clip):
        tracker.append(torch.is_autocast_enabled('cpu'))
        return update(self, *clip)

    monkeypatch.setattr(MultiCueClipTracker, 'update', watched)
    model.encoder.layers[0].ffn.layers[1].register_forward_hook(
        lambda module, inputs, output: network.append(output.dtype)
    )

    def predict():
        (sample,) = model(clips, copy.deepcopy(samples), mode='predict')
        return torch.cat([f.pred_track_instances.scores for f in sample.video_data_samples])

    exact = predict()
    with torch.autocast('cpu', dtype=dtype):
        scores = predict()
    assert set(network[: len(network) // 2]) == {torch.float32}
    assert set(network[len(network) // 2 :]) == {dtype}
    assert tracker and not any(tracker)
    assert not torch.equal(scores, exact)
    torch.testing.assert_close(scores, exact, rtol=0.02, atol=0.01)


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_mixed_precision_on_a_gpu(dtype):
    model = build().cuda()
    clips, samples = random_clips(2, SIZES, 40)
    for sample in samples:
        sample.video_data_samples = [frame.cuda() for frame in sample.video_data_samples]
    # A small scale: the first steps of a dynamic one may be skipped.
    cfg = dict(
        type='AmpOptimWrapper',
        dtype=dtype,
        loss_scale=8.0,
        optimizer=dict(type='SGD', lr=1.0),
    )
    check_amp_step(model, clips.cuda(), samples, build_optim_wrapper(model, cfg))
