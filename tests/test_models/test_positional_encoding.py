"""Where a pixel is, and when."""

import math

import pytest
import torch

from mmdevis.models.layers import ClipPositionalEncoding

T, FEATS = 3, 8


def encoding(temporal, num_frames=T):
    torch.manual_seed(0)
    made = ClipPositionalEncoding(
        num_feats=FEATS, normalize=True, offset=0.0, num_frames=num_frames, temporal=temporal
    )
    made.init_weights()
    return made


def mask(batch=2, height=4, width=6):
    padded = torch.zeros(batch * T, height, width, dtype=torch.bool)
    padded[T:, 3:] = True  # the second clip is lower and narrower
    padded[T:, :, 4:] = True
    return padded


def valid(maps):
    """(2, C, h, w) encodings of one frame of both clips to those (n, C) of what is no padding."""
    return maps.movedim(1, -1)[~mask()[::T]]


@pytest.mark.parametrize('temporal', ['learned', 'sine'])
def test_shape_and_no_mask_is_an_empty_mask(temporal):
    made = encoding(temporal)
    maps = torch.zeros(2 * T, 5, 4, 6)
    without = made(None, input=maps)
    assert without.shape == (2 * T, 2 * FEATS, 4, 6)
    torch.testing.assert_close(without, made(torch.zeros(2 * T, 4, 6, dtype=torch.bool)))


@pytest.mark.parametrize('temporal', ['learned', 'sine'])
def test_what_changes_over_time_is_the_same_for_every_pixel_and_clip(temporal):
    positions = encoding(temporal)(mask()).unflatten(0, (2, T)).detach()
    for t in range(1, T):
        step = valid(positions[:, t] - positions[:, 0])
        assert step.abs().max() > 0.1
        torch.testing.assert_close(step, step[:1].expand_as(step))


def test_sine_of_the_frame_number():
    # Frames are numbered from 1 and brought to 0 .. 2 pi, as rows and columns are.
    positions = encoding('sine')(mask()).unflatten(0, (2, T))
    plain = encoding('learned', num_frames=1)(mask()).unflatten(0, (2, T))
    powers = 10000 ** (2 * (torch.arange(2 * FEATS) // 2) / (2 * FEATS))
    for t in range(T):
        phase = 2 * math.pi * (t + 1) / T / powers
        expected = torch.where(torch.arange(2 * FEATS) % 2 == 0, phase.sin(), phase.cos())
        found = valid((positions - plain)[:, t])
        torch.testing.assert_close(found, expected.expand_as(found), atol=1e-4, rtol=0)


def test_positions_count_pixels_that_are_no_padding():
    positions = encoding('sine')(mask()).unflatten(0, (2, T))
    # The last column of a clip of 4 columns is at the same place as the last of 6.
    whole, narrow = positions[0, 0, FEATS:, 0], positions[1, 0, FEATS:, 0]
    torch.testing.assert_close(narrow[:, 3], whole[:, 5], atol=1e-4, rtol=0)


def test_one_frame_has_no_time():
    made = encoding('learned', num_frames=1)
    assert not list(made.parameters())
    assert torch.equal(made(mask()), encoding('sine', num_frames=1)(mask()))


def test_unknown_kind_of_time():
    with pytest.raises(ValueError, match="'learned' or 'sine', got 'cosine'"):
        encoding('cosine')
