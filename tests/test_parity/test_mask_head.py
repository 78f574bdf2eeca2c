"""Parts of the mask head against the official release, with padding."""

import pytest
import torch

from mmdevis.checkpoints import official_names
from mmdevis.models.mask_heads import MultiScaleDeformMaskHead
from mmdevis.models.mask_heads.modulated_deform_conv import OffsetModulatedDeformConv
from mmdevis.testing import Mismatches


def numbers_of(load_arrays):
    arrays = load_arrays(
        'mask_head_inputs',
        'mask_head_weights_a',
        'mask_head_weights_b',
        'mask_head_c2_frame0',
        'mask_head_c2_frame1',
    )
    return {key: torch.from_numpy(value) for key, value in arrays.items()}


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@torch.no_grad()
def test_attention_maps_and_masks(load_arrays, two_threads):
    given = numbers_of(load_arrays)
    head = MultiScaleDeformMaskHead(embed_dims=128, feature_channels=(128, 128, 256))
    ours = official_names({f'bbox_head.mask_head.{k}': v for k, v in head.state_dict().items()})
    prefixes = dict(head_w='mask_head.', att_w='bbox_attention.')
    official = {}
    for key, value in given.items():
        kind, _, rest = key.partition('.')
        if kind in prefixes:
            official[prefixes[kind] + rest] = value
    assert set(ours.values()) == set(official)
    head.load_state_dict(
        {name.removeprefix('bbox_head.mask_head.'): official[key] for name, key in ours.items()},
        strict=True,
    )

    memory = [given[f'memory{i}'] for i in range(3)]
    paddings = [given[f'pad{i}'] for i in range(3)]
    assert all(padding.any() for padding in paddings)
    found = Mismatches()
    for i, attention in enumerate(head.attentions):
        maps = attention(given['query'], memory[i], paddings[i])
        found.compare(f'attention {i}', maps, given[f'attention_map{i}'].numpy(), 1e-6)
    raw = torch.stack([given['c2_0'], given['c2_1']])
    masks = head(given['query'], memory[0], [memory[1], memory[2], raw], memory, paddings)
    # These weights move samples by hundreds of pixels, so the order of additions in the convolution
    # that predicts the offsets matters: PyTorch chooses it by the number of threads, and one thread
    # differs from two by 1e-3 (double precision by 7e-4). The numbers were made with several.
    found.compare('masks', masks, given['out'].numpy(), 5e-4)
    assert not found.lines, str(found)


@torch.no_grad()
def test_modulated_deform_conv(load_arrays):
    given = numbers_of(load_arrays)
    conv = OffsetModulatedDeformConv(8, 6)
    prefix = 'mdc_w.'
    conv.load_state_dict(
        {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}, strict=True
    )
    found = Mismatches()
    found.compare('output', conv(given['mdc_in']), given['mdc_out'].numpy(), 1e-5)
    assert not found.lines, str(found)
