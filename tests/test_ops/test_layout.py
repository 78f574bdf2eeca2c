"""Absolute frame order and the joint softmax."""

import pytest
import torch

from mmdevis.ops.layout import absolute_frames, frame_order, joint_softmax


@pytest.mark.parametrize('frames', [1, 2, 3, 6])
def test_frame_order_inverts_the_slots(frames):
    order = frame_order(frames, 'cpu').tolist()
    for t in range(frames):
        listed = [t, *(s for s in range(frames) if s != t)]
        assert [listed[place] for place in order[t]] == list(range(frames))


def test_joint_softmax_is_one_softmax():
    own, other = torch.randn(2, 3, 4, 2, 3, 5), torch.randn(2, 3, 4, 2, 2, 3, 7)
    weights, temporal_weights = joint_softmax(own, other)
    total = weights.sum((-2, -1)) + temporal_weights.sum((-3, -2, -1))
    torch.testing.assert_close(total, torch.ones_like(total))
    ratio = weights[..., 0, 0] / temporal_weights[..., 0, 0, 0]
    torch.testing.assert_close(ratio, (own[..., 0, 0] - other[..., 0, 0, 0]).exp())


@pytest.mark.parametrize('points, temporal_points', [(3, 3), (1, 4), (4, 1)])
def test_padding_has_no_weight(make_problem, points, temporal_points):
    problem = make_problem(points=points, temporal_points=temporal_points)
    locations, weights = absolute_frames(problem.spatial_shapes, *problem.tensors[1:], False)
    width = max(points, temporal_points)
    assert locations.shape == (2, 3, 6, 2, 3, 3, width, 2)
    torch.testing.assert_close(weights.sum((4, 5, 6)), torch.ones(2, 3, 6, 2).double())
    for t in range(3):
        for s in range(3):
            used = points if s == t else temporal_points
            assert (weights[:, t, :, :, s, :, used:] == 0).all()
            assert (weights[:, t, :, :, s, :, :used] > 0).all()
