import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from mmdevis.models.trackers.clip_costs import ClipCost, assign
from mmdevis.models.trackers.observations import Observations, common_frames


def random_observations(num, length, rows, seed, holes=False, size=(6, 7)):
    generator = torch.Generator().manual_seed(seed)
    return Observations(
        frames=list(range(length)),
        valid=torch.rand(num, length, generator=generator) < (0.6 if holes else 2),
        scores=torch.rand(num, length, generator=generator),
        labels=torch.randint(0, 2, (num, length), generator=generator),
        centers=torch.rand(num, length, 2, generator=generator),
        rows=torch.randint(0, rows, (num, length), generator=generator),
        masks=torch.rand(length, rows, *size, generator=generator),
    )


def pair_cost(a, i, b, j, cost):
    """The rule for one pair, frame by frame, as REFERENCE.md states it."""
    frames = [f for f in range(len(a.frames)) if a.valid[i, f] and b.valid[j, f]]
    if not frames:
        return None
    intersections, unions, same, score, center = [], [], [], [], []
    for f in frames:
        x, y = a.masks[f, a.rows[i, f]].double(), b.masks[f, b.rows[j, f]].double()
        if cost.binary_masks:
            x, y = (x > 0.5).double(), (y > 0.5).double()
        intersections.append((x * y).sum())
        unions.append((x + y - x * y).sum())
        same.append(float(a.labels[i, f] == b.labels[j, f]))
        score.append((a.scores[i, f] - b.scores[j, f]).abs())
        center.append((a.centers[i, f] - b.centers[j, f]).abs().mean())
    if cost.per_frame_iou:
        iou = sum(x / y if y else 0 for x, y in zip(intersections, unions)) / len(frames)
    else:
        iou = sum(intersections) / sum(unions) if sum(unions) else 0
    n = len(frames)
    return float(
        -cost.mask_weight * iou
        - cost.class_weight * sum(same) / n
        + cost.score_weight * sum(score) / n
        + cost.center_weight * sum(center) / n
    )


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    num=st.integers(0, 4),
    other=st.integers(0, 4),
    length=st.integers(1, 4),
    weights=st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, 2.0])] * 4),
    binary=st.booleans(),
    per_frame=st.booleans(),
    holes=st.booleans(),
    seed=st.integers(0, 999),
)
def test_all_pairs_at_once_equal_the_pairwise_loop(
    num, other, length, weights, binary, per_frame, holes, seed
):
    cost = ClipCost(*weights, binary_masks=binary, per_frame_iou=per_frame)
    a = random_observations(num, length, 3, seed, holes)
    b = random_observations(other, length, 2, seed + 1, holes)
    result, shared = cost(a, b)
    assert result.shape == shared.shape == (num, other)
    for i in range(num):
        for j in range(other):
            expected = pair_cost(a, i, b, j, cost)
            assert shared[i, j] == (expected is not None)
            assert float(result[i, j]) == pytest.approx(expected or 0.0, abs=1e-5)


@pytest.mark.parametrize('per_frame', [False, True])
def test_empty_masks_have_no_overlap(per_frame):
    a, b = (random_observations(2, 3, 2, seed) for seed in (0, 1))
    a.masks, b.masks = a.masks * 0, b.masks * 0
    cost, _ = ClipCost(1, 0, 0, per_frame_iou=per_frame)(a, b)
    assert (cost == 0).all()


def test_half_precision_masks_do_not_overflow():
    a, b = (random_observations(1, 1, 1, seed, size=(300, 300)) for seed in (0, 1))
    exact, _ = ClipCost(1, 0, 0)(a, b)
    a.masks, b.masks = a.masks.half(), b.masks.half()  # 90000 pixels, fp16 ends at 65504
    half, _ = ClipCost(1, 0, 0)(a, b)
    assert float(half) == pytest.approx(float(exact), abs=1e-3)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(num=st.integers(1, 5), other=st.integers(1, 5), seed=st.integers(0, 999))
def test_assignment_is_optimal_and_respects_what_is_allowed(num, other, seed):
    generator = torch.Generator().manual_seed(seed)
    cost = torch.randn(num, other, generator=generator)
    rows, columns = assign(cost, torch.ones(num, other, dtype=torch.bool))
    best = linear_sum_assignment(cost.numpy())
    assert float(cost[rows, columns].sum()) == pytest.approx(cost.numpy()[best].sum(), abs=1e-6)

    allowed = torch.rand(num, other, generator=generator) < 0.5
    rows, columns = assign(cost, allowed)
    assert allowed[rows, columns].all()
    assert len(set(rows.tolist())) == len(rows) and len(set(columns.tolist())) == len(columns)
    # No allowed pair of two that are free is left over.
    left = allowed.clone()
    left[rows], left[:, columns] = False, False
    assert not left.any()


def test_nothing_allowed_gives_no_pair():
    rows, columns = assign(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool))
    assert len(rows) == len(columns) == 0


def test_common_frames_line_up():
    a, b = random_observations(2, 5, 2, 0), random_observations(2, 3, 2, 1)
    a.frames, b.frames = [2, 3, 4, 6, 8], [4, 6, 7]
    x, y = common_frames(a, b)
    assert x.frames == y.frames == [4, 6]
    assert torch.equal(x.scores, a.scores[:, 2:4]) and torch.equal(y.masks, b.masks[:2])
    b.frames = [2, 4, 8]
    x, y = common_frames(a, b)
    assert torch.equal(x.masks, a.masks[[0, 2, 4]]) and torch.equal(y.scores, b.scores)
