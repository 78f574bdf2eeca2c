"""Without gradients, a CPU works in pieces: the same results from less memory."""

from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.config import Config

from mmdevis.models.detectors.deformable_mask_detr import unpadded_samples
from mmdevis.models.layers import devis_layers
from mmdevis.testing import build_reduced
from mmdevis.utils.pieces import prefers_pieces

CONFIG = Path(__file__).parents[2] / 'configs/devis/devis_r50_4xb1-9e_youtubevis2019.py'


@pytest.fixture(scope='module')
def model():
    return build_reduced(Config.fromfile(CONFIG)).eval()


def outputs(model, inputs, sizes):
    """Outputs, and the sizes of what the feed-forward layers and the backbone were given."""
    sizes.clear()
    found = model.forward_clips(inputs, unpadded_samples(inputs))
    return [found['hidden_states'], found['references'][-1], *found['memory']]


@pytest.fixture
def sizes(model):
    seen = {}
    layer = model.encoder.layers[0]
    hooks = [
        part.register_forward_pre_hook(
            lambda module, args, name=name: seen.setdefault(name, []).append(tuple(args[0].shape))
        )
        for name, part in (('backbone', model.backbone.layer1), ('ffn', layer.ffn))
    ]
    yield seen
    for hook in hooks:
        hook.remove()


def test_same_results(model, sizes):
    inputs = torch.randn(6, 3, 64, 96)
    expected = outputs(model, inputs, sizes)
    assert [size[0] for size in sizes['backbone']] == [6] and len(sizes['ffn']) == 1
    with torch.no_grad(), mock.patch.object(devis_layers, '_PIECE', 6 * 50):
        found = outputs(model, inputs, sizes)
    assert [size[0] for size in sizes['backbone']] == [3, 3]
    # 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2 tokens per frame
    assert [size[2] for size in sizes['ffn']] == [50, 50, 28]
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_hooks_see_one_call(model):
    """Whoever watches the backbone or an attention is given the whole batch."""
    seen = []
    watched = (model.backbone, model.encoder.layers[0].self_attn)
    hooks = [
        module.register_forward_hook(lambda module, args, output: seen.append(module))
        for module in watched
    ]
    inputs = torch.randn(6, 3, 64, 96)
    with torch.no_grad():
        model.forward_clips(inputs, unpadded_samples(inputs))
    for hook in hooks:
        hook.remove()
    assert seen == list(watched)


def test_padding_is_masked(model, sizes):
    inputs = torch.randn(6, 3, 64, 96)
    samples = unpadded_samples(inputs)
    for sample in samples:
        sample.set_metainfo(dict(img_shape=(40, 70)))
    expected = model.forward_clips(inputs, samples)['hidden_states']
    with torch.no_grad(), mock.patch.object(devis_layers, '_PIECE', 6 * 50):
        found = model.forward_clips(inputs, samples)['hidden_states']
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_whole_with_another_back_end(model, sizes):
    """Other back ends prepare the value in every call."""
    from mmdevis.ops import use_backend

    inputs = torch.randn(6, 3, 64, 96)
    with torch.no_grad(), mock.patch.object(devis_layers, '_PIECE', 6 * 50):
        with use_backend('gather'):
            outputs(model, inputs, sizes)
    assert len(sizes['ffn']) == 1


def test_no_pieces_while_tracing_or_with_gradients():
    x = torch.zeros(1)
    assert not prefers_pieces(x)
    with torch.no_grad():
        assert prefers_pieces(x)
        assert not prefers_pieces(x.to('meta'))
        with mock.patch.object(torch.compiler, 'is_compiling', lambda: True):
            assert not prefers_pieces(x)
