"""VisTR's attention against its formula."""

import pytest
import torch

from mmdevis.models.layers import ClipFullAttention


def by_hand(layer, query, keys, values, blocked):
    """Softmax attention written out for one head at a time."""
    attn, dims = layer.attn, layer.embed_dims
    weights, biases = attn.in_proj_weight.split(dims), attn.in_proj_bias.split(dims)
    q, k, v = (x @ w.t() + b for x, w, b in zip((query, keys, values), weights, biases))
    heads = []
    for rows in torch.arange(dims).chunk(attn.num_heads):
        logits = q[..., rows] @ k[..., rows].transpose(1, 2) / len(rows) ** 0.5
        logits = logits.masked_fill(blocked[:, None], float('-inf'))
        heads.append(logits.softmax(-1) @ v[..., rows])
    return attn.out_proj(torch.cat(heads, -1)) + query


@torch.no_grad()
def test_decoder_form_adds_positions_to_keys_and_skips_padding():
    layer = ClipFullAttention(embed_dims=8, num_heads=2, num_frames=2, num_levels=1).eval()
    layer.init_weights()
    query, query_pos = torch.randn(3, 4, 8), torch.randn(3, 4, 8)
    value, key_pos = torch.randn(3, 10, 8), torch.randn(3, 10, 8)
    padding = torch.zeros(3, 10, dtype=torch.bool)
    padding[1, 5:] = True
    ours = layer(query, value=value, query_pos=query_pos, key_pos=key_pos, key_padding_mask=padding)
    theirs = by_hand(layer, query + query_pos, value + key_pos, value, padding) - query_pos
    torch.testing.assert_close(ours, theirs)
    other = torch.where(padding[..., None], torch.full_like(value, 1e3), value)
    again = layer(
        query, value=other, query_pos=query_pos, key_pos=key_pos, key_padding_mask=padding
    )
    assert torch.equal(ours, again)


@torch.no_grad()
def test_encoder_form_attends_to_itself():
    layer = ClipFullAttention(embed_dims=8, num_heads=2).eval()
    query, position = torch.randn(2, 6, 8), torch.randn(2, 6, 8)
    nothing = torch.zeros(2, 6, dtype=torch.bool)
    ours = layer(query, key=query, value=query, query_pos=position, key_pos=position)
    theirs = by_hand(layer, query + position, query + position, query, nothing) - position
    torch.testing.assert_close(ours, theirs)


def test_settings_of_another_attention_are_refused():
    with pytest.raises(TypeError, match='num_points'):
        ClipFullAttention(embed_dims=8, num_heads=2, num_points=4)
