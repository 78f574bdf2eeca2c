"""The Triton kernels in Triton's interpreter on a CPU.

Triton decides when it is imported whether it interprets, so these tests run in a process of their
own: test_triton.py starts it. By hand:

    TRITON_INTERPRET=1 python -m pytest tests/test_ops/triton_interpreted.py
"""

import pytest
import torch

# The interpreter takes about a millisecond per operation: as few programs and samples as will do.
SMALL = dict(
    batch=1, frames=2, shapes=((2, 3),), queries=3, heads=1, channels=4, points=1, temporal_points=1
)
CASES = {
    'plain': {'points': 2, 'heads': 2, 'shapes': ((2, 3), (1, 1))},
    'instance aware': {'temporal_points': 2, 'instance_aware': True},
    'boxes': {'temporal_points': 2, 'boxes': True},
    'boxes, instance aware': {'points': 2, 'boxes': True, 'instance_aware': True},
    'no temporal samples': {'temporal_points': None},
    'one frame of two clips': {'frames': 1, 'batch': 2},
    'three frames': {'frames': 3},
    'empty level': {'shapes': ((0, 2), (2, 2))},
    'far outside': {'spread': 50.0},
    'odd channels': {'channels': 7},
    'two tiles': {'queries': 70},
    'no query': {'queries': 0},
}


@pytest.mark.parametrize('case', CASES.values(), ids=CASES.keys())
def test_equals_reference(make_problem, case):
    problem = make_problem(3, dtype=torch.float32, **{**SMALL, **case})
    found = problem.call_with_grads('triton')
    expected = problem.to(torch.float64).call_with_grads('reference')
    for one, other in zip(found, expected):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), other, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_low_precision_values(make_problem, dtype):
    """As under autocast: everything low precision but the references."""
    problem = make_problem(4, **SMALL).to(torch.float32)
    tensors = [t if i == 1 else t.to(dtype) for i, t in enumerate(problem.tensors)]
    problem = type(problem)(tuple(tensors), problem.spatial_shapes, grad=problem.grad.to(dtype))
    found = problem.call_with_grads('triton')
    expected = problem.to(torch.float64).call_with_grads('reference')
    step = torch.finfo(dtype).eps
    for i, (one, other) in enumerate(zip(found, expected)):
        assert one.dtype == (torch.float32 if i == 2 else dtype)
        # The gradients of the softmax take the output, which was rounded once.
        torch.testing.assert_close(one.double(), other, rtol=4 * step, atol=4 * step)


def test_nan_shows(make_problem):
    """One query each for NaN in the offsets and logits of both kinds; none in the last."""
    problem = make_problem(**{**SMALL, 'queries': 5}, dtype=torch.float32)
    tensors = [t.clone() for t in problem.tensors]
    for query, i in enumerate((2, 3, 4, 5)):
        tensors[i][:, :, query] = torch.nan
    output = problem.call('triton', *tensors)
    assert output[:, :, :4].isnan().all()
    assert output[:, :, 4].isfinite().all()


def test_opcheck(make_problem):
    from mmdevis.ops.custom_op import temporal_deform_attn_op

    problem = make_problem(
        dtype=torch.float32, batch=1, frames=2, shapes=((2, 2),), queries=1, heads=1, channels=2,
        points=1, temporal_points=1,
    )  # fmt: skip
    tensors = [tensor.requires_grad_() for tensor in problem.tensors]
    arguments = (tensors[0], [2, 2], *tensors[1:], False, 'triton')
    torch.library.opcheck(
        temporal_deform_attn_op, arguments, test_utils=('test_schema', 'test_faketensor')
    )


def test_float64_is_refused(make_problem):
    with pytest.raises(RuntimeError, match='float64'):
        make_problem(**SMALL).call('triton')
