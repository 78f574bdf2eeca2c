"""Swin's patch merging, written down as the original does it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.models.backbones.swin import WindowMSA
from mmdet.models.layers import PatchMerging

from mmdevis.checkpoints.swin import from_mmdet_merging, to_mmdet_merging


def original_merging(x, norm_weight, norm_bias, reduction):
    """(B, H, W, C) to (B, H / 2, W / 2, 2 C): four neighbours side by side, columns last."""
    x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
    x = torch.nn.functional.layer_norm(x, x.shape[-1:], norm_weight, norm_bias)
    return x @ reduction.t()


@torch.no_grad()
def test_mmdet_with_converted_weights_gives_the_originals_output():
    channels = 3
    weight, bias = torch.randn(4 * channels), torch.randn(4 * channels)
    reduction = torch.randn(2 * channels, 4 * channels)
    layer = PatchMerging(channels, 2 * channels)
    layer.norm.weight.copy_(to_mmdet_merging(weight))
    layer.norm.bias.copy_(to_mmdet_merging(bias))
    layer.reduction.weight.copy_(to_mmdet_merging(reduction))
    x = torch.randn(2, 4, 6, channels)
    ours, size = layer(x.flatten(1, 2), (4, 6))
    theirs = original_merging(x, weight, bias, reduction)
    assert size == (2, 3)
    torch.testing.assert_close(ours.view_as(theirs), theirs)


@given(channels=st.integers(1, 5), rows=st.integers(1, 3))
def test_there_and_back(channels, rows):
    value = torch.randn(rows, 4 * channels)
    assert torch.equal(from_mmdet_merging(to_mmdet_merging(value)), value)
    assert torch.equal(to_mmdet_merging(from_mmdet_merging(value)), value)


@pytest.mark.parametrize('window', [2, 7])
def test_index_of_relative_positions_is_the_originals(window):
    # It is copied like a weight, and left to the model where a checkpoint lacks it.
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')
    y, x = y.flatten(), x.flatten()
    rows = y[:, None] - y[None] + window - 1
    columns = x[:, None] - x[None] + window - 1
    original = rows * (2 * window - 1) + columns
    layer = WindowMSA(embed_dims=4, num_heads=1, window_size=(window, window))
    assert torch.equal(layer.relative_position_index, original)
