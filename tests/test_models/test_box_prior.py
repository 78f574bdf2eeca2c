import pytest
import torch
from mmengine.config import Config

from mmdevis.models.mask_heads import MultiScaleDeformMaskHead
from mmdevis.models.mask_heads.multi_scale_deform_mask_head import QueryAttentionMap, box_distance

BOX = torch.tensor([[[0.5, 0.25, 0.4, 0.5]]])  # centre at x 0.5, y 0.25


def test_distance_is_one_in_the_middle_of_each_side():
    # 8 rows and 20 columns: the box spans rows 0..4 and columns 6..14.
    distance = box_distance(BOX, None, (8, 20)).view(8, 20)
    inside = distance < 1
    rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 3, 6, 13)
    # Pixel (2, 10) has its centre half a pixel from the box's in both directions.
    assert distance[2, 10] == pytest.approx((0.5 / 2) ** 2 + (0.5 / 4) ** 2)


def test_padding_is_outside_the_frame():
    """The same frame with 4 rows and 10 columns of padding."""
    padding = torch.ones(1, 12, 30, dtype=torch.bool)
    padding[:, :8, :20] = False
    padded = box_distance(BOX, padding, (12, 30)).view(12, 30)
    torch.testing.assert_close(padded[:8, :20], box_distance(BOX, None, (8, 20)).view(8, 20))


def test_a_box_smaller_than_a_pixel_still_has_one():
    distance = box_distance(torch.tensor([[[0.5, 0.5, 0.0, 0.0]]]), None, (4, 4))
    assert distance.isfinite().all() and distance.min() <= 2


@pytest.mark.parametrize('with_padding', [False, True])
def test_maps_point_at_the_box_from_the_start(with_padding):
    torch.manual_seed(0)
    attention = QueryAttentionMap(16, 4, box_prior=True)
    attention.init_weights()
    padding = torch.zeros(1, 8, 20, dtype=torch.bool) if with_padding else None
    query, feature = torch.randn(1, 1, 16), torch.randn(1, 16, 8, 20)
    maps = attention(query, feature, padding, BOX)[0, 0].detach()
    inside = box_distance(BOX, padding, (8, 20)).view(8, 20) < 2
    assert maps.sum() == pytest.approx(1)
    # Without a prior it would be a third, as much as the place takes.
    assert inside.float().mean() < 0.33 and maps[:, inside].sum() > 0.6


def test_learns_its_sharpness_but_does_not_move_boxes():
    attention = QueryAttentionMap(16, 4, box_prior=True)
    box = BOX.clone().requires_grad_()
    maps = attention(torch.randn(1, 1, 16), torch.randn(1, 16, 8, 20), None, box)
    maps[..., 2, 10].sum().backward()
    assert attention.log_sharpness.grad.abs().min() > 0
    assert box.grad is None


def test_needs_boxes():
    attention = QueryAttentionMap(16, 4, box_prior=True)
    with pytest.raises(ValueError, match='needs the boxes'):
        attention(torch.randn(1, 1, 16), torch.randn(1, 16, 8, 20), None)


def test_off_by_default_and_without_parameters():
    assert not any('sharpness' in name for name, _ in MultiScaleDeformMaskHead().named_parameters())
    for name in ('devis_r50_4xb1-9e_youtubevis2019', 'devis_r50_4xb1-12e_ovis'):
        head = Config.fromfile(f'configs/devis/{name}.py').model.bbox_head.mask_head
        assert not head.get('box_prior', False)


def test_clips_decoded_together_are_those_decoded_alone():
    torch.manual_seed(0)
    head = MultiScaleDeformMaskHead(
        embed_dims=64,
        num_heads=8,
        feature_channels=(64, 64, 16),
        num_groups=4,
        unit_attention=True,
        box_prior=True,
    ).eval()
    head.init_weights()
    sizes = [(4, 6), (8, 12), (16, 24), (32, 48)]
    maps = [torch.randn(4, 64 if i < 3 else 16, *size) for i, size in enumerate(sizes)]
    queries = [torch.randn(2, n, 64) for n in (3, 1)]
    boxes = [torch.rand(2, n, 4) * 0.5 + 0.2 for n in (3, 1)]
    with torch.no_grad():
        together = head.decode_clips(queries, maps[0], maps[1:], maps[:3], [None] * 3, boxes)
        alone = [
            head(
                queries[b],
                maps[0][2 * b : 2 * b + 2],
                [m[2 * b : 2 * b + 2] for m in maps[1:]],
                [m[2 * b : 2 * b + 2] for m in maps[:3]],
                [None] * 3,
                boxes[b],
            )
            for b in range(2)
        ]
        moved = head.decode_clips(
            queries, maps[0], maps[1:], maps[:3], [None] * 3, [b.flip(-1) for b in boxes]
        )
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-4)
    assert (moved - together).abs().max() > 0.01
