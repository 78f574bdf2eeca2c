"""Groups of queries: training sees all of them, each for itself; inference sees the first."""

from pathlib import Path

import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdevis.testing import build_reduced, random_clips

CONFIG = Path(__file__).parents[2] / 'configs/devis/devis_r50_4xb1-9e_youtubevis2019.py'
FRAMES, QUERIES, GROUPS = 3, 4, 3

register_all_modules(init_default_scope=True)


def build(groups):
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(
        {
            'model.num_frames': FRAMES,
            'model.num_queries': FRAMES * QUERIES,
            'model.num_query_groups': groups,
            'model.test_cfg.stride': 1,
        }
    )
    model = build_reduced(cfg)
    for branch in model.bbox_head.reg_branches:
        torch.nn.init.normal_(branch[-1].weight, std=0.1)
    return model


def grouped(embedding):
    """(T, groups, Q, 2 * C) view of the queries."""
    return embedding.weight.data.view(FRAMES, GROUPS, QUERIES, -1)


@pytest.fixture
def single():
    return build(1)


@pytest.fixture
def several(single):
    """The same weights, with the queries of ``single`` as the first group."""
    model = build(GROUPS)
    state = single.state_dict()
    queries = state.pop('query_embedding.weight')
    missing = model.load_state_dict(state, strict=False).missing_keys
    assert missing == ['query_embedding.weight']
    grouped(model.query_embedding)[:, 0] = queries.view(FRAMES, QUERIES, -1)
    return model


@torch.no_grad()
def test_inference_uses_the_first_group(single, several):
    clips, samples = random_clips(FRAMES, [(64, 96)], 40)
    expected = single.eval()(clips, samples, mode='tensor')
    outputs = several.eval()(clips, samples, mode='tensor')
    for name in ('cls_scores', 'bbox_preds', 'hidden_states'):
        assert torch.equal(outputs[name], expected[name])


@torch.no_grad()
def test_groups_do_not_see_each_other(several):
    clips, samples = random_clips(FRAMES, [(64, 96)], 40)
    several.train()
    before = several(clips, samples, mode='tensor')['cls_scores']
    grouped(several.query_embedding)[:, 1].add_(1.0)
    after = several(clips, samples, mode='tensor')['cls_scores']
    changed = (after - before).abs().amax((0, 1, 3)).view(FRAMES, GROUPS, QUERIES)
    assert (changed[:, 1] > 1e-4).all()
    assert changed[:, [0, 2]].max() < 1e-5


@pytest.mark.parametrize('instances', [0, 2])
def test_equal_groups_have_the_loss_of_one(single, several, instances):
    clips, samples = random_clips(FRAMES, [(64, 96), (50, 70)], 40, num_instances=instances)
    queries = grouped(several.query_embedding)
    queries[:] = queries[:, :1].clone()
    expected = single.train()(clips, samples, mode='loss')
    losses = several.train()(clips, samples, mode='loss')
    assert set(losses) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-6)


def test_every_group_learns(several):
    clips, samples = random_clips(FRAMES, [(64, 96)], 40)
    sum(several.train()(clips, samples, mode='loss').values()).backward()
    gradient = several.query_embedding.weight.grad.view(FRAMES, GROUPS, QUERIES, -1)
    assert (gradient.abs().amax(-1) > 0).all()
