"""Recorded attention: it is the attention that the model computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmdevis.models.layers import TemporalMultiScaleDeformableAttention
from mmdevis.ops.backends.reference import attend_at
from mmdevis.testing import build_reduced
from mmdevis.visualization.attention import (
    AttentionRecorder,
    SamplingRow,
    mask_attention_figure,
    query_samples,
    record_clip,
    sampling_figure,
    sampling_points,
)
from mmdevis.visualization.figure_files import save_figure

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/devis/devis_r18_1xb4-demo_synthvis.py'
SHAPES = ((6, 8), (3, 4))
TOKENS = sum(h * w for h, w in SHAPES)


def randomise(module: nn.Module) -> nn.Module:
    """Fresh attention layers look everywhere alike; these do not."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if 'sampling_offsets' in name or 'attention_weights' in name:
                parameter.normal_(std=0.3)
    return module


def attention_layer(**options) -> TemporalMultiScaleDeformableAttention:
    arguments = dict(embed_dims=16, num_heads=2, num_levels=2, num_points=2, dropout=0.0)
    return randomise(
        MODELS.build(dict(type='TemporalMultiScaleDeformableAttention', **arguments, **options))
    ).eval()


@pytest.fixture(scope='module')
def model():
    return randomise(build_reduced(Config.fromfile(CONFIG))).eval()


@pytest.fixture(scope='module')
def clip(model):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, model.num_frames, 3, 48, 64, generator=generator)


@pytest.fixture(scope='module')
def attention(model, clip):
    return record_clip(model, clip, (48, 64))


@pytest.mark.parametrize('dims', [2, 4])
@pytest.mark.parametrize('instance_aware', [True, False])
@pytest.mark.parametrize(
    'frames, temporal_points', [(1, 2), (3, 0), (3, 2), (3, 1), (3, 4)], ids=str
)
def test_points_and_weights_reproduce_the_layer(frames, temporal_points, instance_aware, dims):
    layer = attention_layer(
        num_frames=frames, num_temporal_points=temporal_points, instance_aware=instance_aware
    )
    query, value = torch.randn(2, frames * 5, 16), torch.randn(2, frames * TOKENS, 16)
    reference = torch.rand(2, frames * 5, 2, dims)
    expected = layer(
        query,
        value=value,
        identity=torch.zeros_like(query),
        reference_points=reference,
        spatial_shapes=SHAPES,
    )
    locations, weights = sampling_points(layer, query, reference, SHAPES)
    heads = layer.value_proj(value).view(2, frames, TOKENS, 2, 8)
    output = layer.output_proj(attend_at(heads, SHAPES, locations, weights).flatten(1, 2))
    torch.testing.assert_close(output, expected)

    # The samples of one query are those of the whole layer, in the order [t, s].
    samples = query_samples(layer, query, reference, SHAPES, index=3, clip=1)
    assert samples.weights.shape[:2] == (frames, frames)
    torch.testing.assert_close(samples.share().sum(1), torch.ones(frames))
    reach = range(frames) if locations.shape[4] > 1 else [0]
    for t in range(frames):
        for s in reach:
            absolute = s if locations.shape[4] > 1 else t
            torch.testing.assert_close(samples.weights[t, absolute], weights[1, t, 3, :, s])
            torch.testing.assert_close(samples.locations[t, absolute], locations[1, t, 3, :, s])


def test_reference_points_before_and_after_alignment():
    reference = torch.rand(1, 3 * 2, 2, 4)
    query = torch.randn(1, 3 * 2, 16)
    centres = reference.view(3, 2, 2, 4)[:, 1, 0, :2]
    for aware in (True, False):
        layer = attention_layer(num_frames=3, num_temporal_points=2, instance_aware=aware)
        samples = query_samples(layer, query, reference, SHAPES, index=1)
        torch.testing.assert_close(samples.own, centres)
        for t in range(3):
            expected = centres if aware else centres[t].expand(3, 2)
            torch.testing.assert_close(samples.aligned[t], expected)


def test_positions_are_those_of_the_frame_without_padding():
    layer = attention_layer(num_frames=1, num_temporal_points=0)
    ratios = torch.tensor([[[0.5, 0.75], [0.5, 0.8]]])
    query, places = torch.randn(1, 4, 16), torch.rand(1, 4, 1, 2)
    padded = query_samples(layer, query, places * ratios[:, None], SHAPES, 2, ratios)
    torch.testing.assert_close(padded.own, places[0, 2])
    # Offsets are in pixels of the level: in the smaller frame they reach further.
    plain = query_samples(layer, query, places.expand(-1, -1, 2, -1), SHAPES, 2)
    shift, reach = plain.locations - plain.own, padded.locations - padded.own
    torch.testing.assert_close(reach, shift / ratios[0][:, None])


def test_recording_changes_nothing_and_ends(model, clip):
    plain = model(clip, mode='tensor')
    with AttentionRecorder(model) as record:
        recorded = model(clip, mode='tensor')
    assert all(torch.equal(plain[k], recorded[k]) for k in ('cls_scores', 'bbox_preds'))
    assert (len(record.encoder), len(record.decoder)) == (2, 3)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_recorded_calls_reproduce_the_layers_of_the_model(model, clip):
    outputs = {}
    layers = {
        **{f'e{i}': layer.self_attn for i, layer in enumerate(model.encoder.layers)},
        **{f'd{i}': layer.cross_attn for i, layer in enumerate(model.decoder.layers)},
    }
    handles = [
        layer.register_forward_hook(
            lambda m, args, kwargs, out, name=name: outputs.update({name: (kwargs, out)}),
            with_kwargs=True,
        )
        for name, layer in layers.items()
    ]
    record = record_clip(model, clip, (48, 64)).record
    for handle in handles:
        handle.remove()
    calls = {
        **{f'e{i}': call for i, call in enumerate(record.encoder)},
        **{f'd{i}': call for i, call in enumerate(record.decoder)},
    }
    assert set(calls) == set(layers)
    for name, call in calls.items():
        kwargs, expected = outputs[name]
        value, layer = kwargs['value'], call.layer
        if kwargs.get('key_padding_mask') is not None:
            assert not kwargs['key_padding_mask'].any()
        heads = layer.value_proj(value).view(1, 4, -1, layer.num_heads, 32 // layer.num_heads)
        points = sampling_points(layer, call.query, call.reference_points, call.spatial_shapes)
        output = layer.output_proj(attend_at(heads, call.spatial_shapes, *points).flatten(1, 2))
        torch.testing.assert_close(output + kwargs['query'], expected, rtol=1e-4, atol=1e-4)


def test_boxes_before_a_layer_are_its_reference_points(attention):
    query = 4
    for layer in (1, 2):
        samples = attention.decoder_samples(query, layer)
        before = attention.boxes[layer - 1, :, query, :2]
        torch.testing.assert_close(samples.own, before)
        torch.testing.assert_close(samples.aligned, before.expand(4, 4, 2))


def test_mask_attention_is_that_of_the_prediction(model, clip, attention):
    query, label, score = attention.best_query()
    found = attention.mask_attention(query)
    assert [m.shape for m in found.maps] == [(4, 4, 48, 64)] * 3
    prediction = model.predict_clip(clip, range(4), (48, 64), (48, 64))
    assert score == pytest.approx(float(prediction.scores[0].mean()), abs=1e-6)
    assert label == int(prediction.labels[0])
    expected = prediction.masks[prediction.mask_rows[0]]
    torch.testing.assert_close(found.masks, expected, rtol=1e-4, atol=1e-5)
    # Before resizing, a query spends exactly 1 on its frame.
    for raw in attention.record.mask_maps:
        torch.testing.assert_close(raw.sum((2, 3, 4)), torch.ones(4, 1))


def test_best_query_of_a_class(attention):
    scores = attention.scores.mean(0)
    for label in (0, 3):
        query, found, score = attention.best_query(label, rank=1)
        assert (found, query) == (label, int(scores[:, label].argsort(descending=True)[1]))
        assert score == pytest.approx(float(scores[query, label]))
    with pytest.raises(IndexError, match='classes 0..5'):
        attention.best_query(6)
    with pytest.raises(IndexError, match='10 trajectories'):
        attention.best_query(rank=10)


def test_pixel_of_the_encoder(attention):
    shapes = attention.record.encoder[0].spatial_shapes
    for level, (height, width) in enumerate(shapes):
        samples = attention.encoder_samples(0.5, 0.3, level, layer=0)
        centre = [(int(0.5 * width) + 0.5) / width, (int(0.3 * height) + 0.5) / height]
        torch.testing.assert_close(samples.own, torch.tensor(centre).expand(4, 2))
    with pytest.raises(ValueError, match='outside'):
        attention.encoder_samples(1.0, 0.3)
    with pytest.raises(IndexError, match='levels 0..2'):
        attention.encoder_samples(0.5, 0.3, level=3)


def test_wrong_input(model, clip):
    with pytest.raises(ValueError, match='one clip of 4 frames'):
        record_clip(model, clip[:, :3], (48, 64))
    layer = attention_layer(num_frames=1, num_temporal_points=0)
    with pytest.raises(IndexError, match='4 queries'):
        query_samples(layer, torch.rand(1, 4, 16), torch.rand(1, 4, 2, 2), SHAPES, 4)


def test_attention_without_points_is_refused():
    cfg = Config.fromfile(
        ROOT / 'configs/devis/ablations/vistr_r50-t6-4levels_4xb1-10e_youtubevis2019.py'
    )
    with pytest.raises(TypeError, match='ClipFullAttention, which has no sampling points'):
        AttentionRecorder(build_reduced(cfg))


def test_figures(attention, tmp_path):
    frames = [np.full((48, 64, 3), 60 * t, np.uint8) for t in range(4)]
    rows = [SamplingRow(f'row {t}', attention.decoder_samples(2), t) for t in range(2)]
    figure = sampling_figure(frames, rows, 'title', [5, 6, 7, 8])
    axes = figure.axes
    assert len(axes) == 8
    assert [a.get_title() for a in axes[:4]] == ['frame 5', 'frame 6', 'frame 7', 'frame 8']
    # Red dots stand where the layer's reference points are, in pixels of the picture.
    for t, row in enumerate(rows):
        for s in range(4):
            cell = axes[4 * t + s]
            dot = next(line for line in cell.lines if line.get_marker() == 'o')
            place = row.samples.aligned[t, s].numpy() * (64, 48) - 0.5
            assert np.allclose(np.ravel(dot.get_data()), place, atol=1e-4)
            shown = float(cell.texts[0].get_text().strip('%')) / 100
            assert shown == pytest.approx(float(row.samples.share()[t, s]), abs=0.006)
    masks = mask_attention_figure(frames, attention.mask_attention(2), head=1)
    assert len(masks.axes) == 4 * 4
    for name, drawn in (('a.png', figure), ('b.png', masks)):
        save_figure(drawn, tmp_path / 'sub' / name)
    assert sorted(p.name for p in (tmp_path / 'sub').iterdir()) == ['a.png', 'b.png']
    with pytest.raises(IndexError, match='heads 0..3'):
        mask_attention_figure(frames, attention.mask_attention(2), head=4)
