"""Modulated deformable convolution against mmcv's operator."""

import pytest
import torch
from mmcv.ops import modulated_deform_conv2d

from mmdevis.ops import modulated_deform_conv
from mmdevis.ops.modulated_deform_conv import modulated_deform_conv_by_sampling

CASES = [
    (2, 5, 4, 7, 9, 3, 1, 1.0),
    (1, 3, 1, 1, 1, 3, 1, 2.0),
    (3, 8, 2, 4, 6, 3, 1, 20.0),  # far outside
    (2, 4, 3, 6, 5, 1, 0, 1.0),
    (2, 4, 3, 8, 7, 5, 2, 1.0),
]


def make_inputs(case, dtype=torch.float64):
    count, channels, out, height, width, kernel, _, spread = case
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    tensors = (
        normal(count, channels, height, width),
        spread * normal(count, 2 * kernel**2, height, width),
        normal(count, kernel**2, height, width),
        normal(out, channels, kernel, kernel),
    )
    return [tensor.requires_grad_() for tensor in tensors]


@pytest.mark.parametrize('case', CASES)
def test_equals_mmcv_with_all_gradients(case):
    inputs = make_inputs(case)
    ours = modulated_deform_conv_by_sampling(*inputs, padding=case[6])
    theirs = modulated_deform_conv2d(
        inputs[0], inputs[1], inputs[2], inputs[3], None, 1, case[6], 1, 1, 1
    )
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn_like(ours)
    for mine, wanted in zip(
        torch.autograd.grad((ours * weights).sum(), inputs),
        torch.autograd.grad((theirs * weights).sum(), inputs),
    ):
        torch.testing.assert_close(mine, wanted)


def test_chunks_change_nothing(monkeypatch):
    inputs = [tensor.detach() for tensor in make_inputs(CASES[0])]
    whole = modulated_deform_conv_by_sampling(*inputs)
    monkeypatch.setattr(modulated_deform_conv, '_CHUNK_BYTES', 1)
    torch.testing.assert_close(modulated_deform_conv_by_sampling(*inputs), whole)


def test_no_offset_is_a_plain_convolution():
    x, offset, mask, weight = (tensor.detach() for tensor in make_inputs(CASES[0]))
    plain = torch.nn.functional.conv2d(x, weight, padding=1)
    ours = modulated_deform_conv_by_sampling(
        x, torch.zeros_like(offset), torch.ones_like(mask), weight
    )
    torch.testing.assert_close(ours, plain)


def test_names_a_wrong_number_of_offsets():
    x, offset, mask, weight = make_inputs(CASES[0])
    with pytest.raises(ValueError, match='needs 18 offsets and 9 modulations, got 16 and 9'):
        modulated_deform_conv_by_sampling(x, offset[:, :16], mask, weight)
