"""Every back end that runs here computes what the reference computes, gradients included."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdevis.ops import available_backends, temporal_deform_attn

FAST = [name for name in ('cpu', 'gather', 'mmcv') if available_backends('cpu')[name] is None]
TOLERANCE = {
    torch.float32: {'rtol': 2e-4, 'atol': 2e-5},
    torch.float64: {'rtol': 1e-9, 'atol': 1e-10},
}

CASES = {
    'plain': {},
    'one frame': {'frames': 1},
    'one frame, none given': {'frames': 1, 'temporal_points': None},
    'no temporal samples': {'temporal_points': None},
    'no temporal points': {'temporal_points': 0},
    'two frames': {'frames': 2},
    'six frames': {'frames': 6, 'batch': 1},
    'fewer temporal points': {'points': 4, 'temporal_points': 1},
    'equal points': {'points': 2, 'temporal_points': 2},
    'instance aware': {'instance_aware': True},
    'boxes': {'boxes': True},
    'boxes, instance aware': {'boxes': True, 'instance_aware': True},
    'boxes, no temporal samples': {'boxes': True, 'temporal_points': None},
    'one level': {'shapes': ((4, 6),)},
    'single pixels': {'shapes': ((1, 1), (1, 1))},
    'rows and columns': {'shapes': ((1, 9), (7, 1))},
    'empty levels': {'shapes': ((0, 4), (3, 2), (0, 0))},
    'only empty levels': {'shapes': ((0, 4), (0, 0))},
    'far outside': {'spread': 50.0},
    'all inside': {'spread': 0.1},
    'one channel': {'channels': 1},
    'odd channels': {'channels': 7},
    'many channels': {'channels': 83, 'queries': 2},
    'one head': {'heads': 1},
    'many points': {'points': 9, 'temporal_points': 7, 'queries': 2},
    'no query': {'queries': 0},
    'no clip': {'batch': 0},
    'dense': {'queries': 300, 'batch': 1, 'channels': 16},
    'blocks of queries': {'queries': 700, 'batch': 1, 'channels': 4, 'frames': 2},
}


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64], ids=['f32', 'f64'])
@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('case', CASES.values(), ids=CASES.keys())
def test_equals_reference(make_problem, case, backend, dtype):
    problem = make_problem(7, **case)
    expected = problem.call_with_grads('reference')
    found = problem.to(dtype).call_with_grads(backend)
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert one.dtype == dtype
        torch.testing.assert_close(one.double(), other, **TOLERANCE[dtype])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize('backend', FAST)
@given(data=st.data())
def test_equals_reference_everywhere(make_problem, backend, data):
    size = st.integers(1, 5)
    shapes = data.draw(
        st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=4)
    )
    problem = make_problem(
        data.draw(st.integers(0, 2**31)),
        batch=data.draw(st.integers(1, 3)),
        frames=data.draw(size),
        shapes=tuple(shapes),
        queries=data.draw(st.integers(1, 9)),
        heads=data.draw(st.integers(1, 3)),
        channels=data.draw(st.integers(1, 40)),
        points=data.draw(size),
        temporal_points=data.draw(st.none() | st.integers(0, 5)),
        boxes=data.draw(st.booleans()),
        instance_aware=data.draw(st.booleans()),
        spread=data.draw(st.sampled_from([0.3, 2.0, 20.0])),
    )
    for one, other in zip(problem.call_with_grads(backend), problem.call_with_grads('reference')):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize('backend', FAST)
def test_samples_on_pixel_centres(make_problem, backend):
    """Integer pixel positions, borders included, have one-sided slopes: all take the same side."""
    problem = make_problem(shapes=((4, 4),), queries=16, frames=2, points=3, temporal_points=3)
    value, _, offsets, logits, temporal_offsets, temporal_logits = problem.tensors
    y, x = torch.meshgrid(torch.arange(4), torch.arange(4), indexing='ij')
    centres = (torch.stack([x, y], -1).reshape(1, 1, 16, 1, 2).double() + 0.5) / 4
    centres = centres.expand(2, 2, 16, 1, 2)
    problem = type(problem)(
        (value, centres, offsets.round(), logits, temporal_offsets.round(), temporal_logits),
        problem.spatial_shapes,
        grad=problem.grad,
    )
    for one, other in zip(problem.call_with_grads(backend), problem.call_with_grads('reference')):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('case', [{}, {'boxes': True, 'instance_aware': True}], ids=['2d', '4d'])
@pytest.mark.parametrize('backend', ['reference', *FAST])
def test_gradcheck(make_problem, backend, case):
    problem = make_problem(
        1, batch=1, frames=2, shapes=((3, 4), (2, 1)), queries=2, channels=3, points=1, **case
    )
    tensors = [tensor.requires_grad_() for tensor in problem.tensors]
    assert torch.autograd.gradcheck(lambda *t: problem.call(backend, *t), tensors)


def test_reference_can_be_differentiated_twice(make_problem):
    problem = make_problem(
        2, batch=1, frames=2, shapes=((2, 2),), queries=1, heads=1, channels=2, points=1,
        temporal_points=1,
    )  # fmt: skip
    tensors = [tensor.requires_grad_() for tensor in problem.tensors]
    assert torch.autograd.gradgradcheck(lambda *t: problem.call('reference', *t), tensors)


@pytest.mark.parametrize('backend', ['reference', *FAST])
def test_absent_temporal_samples_change_nothing(make_problem, backend):
    """None, zero points and T = 1 are one and the same; and so are logits of minus infinity."""
    problem = make_problem(frames=3, temporal_points=2)
    value, reference, offsets, logits, temporal_offsets, temporal_logits = problem.tensors
    plain = problem.call(backend, value, reference, offsets, logits)
    empty = problem.call(
        backend, value, reference, offsets, logits, temporal_offsets[..., :0, :],
        temporal_logits[..., :0],
    )  # fmt: skip
    masked = problem.call(
        backend, value, reference, offsets, logits, temporal_offsets,
        torch.full_like(temporal_logits, -torch.inf),
    )  # fmt: skip
    torch.testing.assert_close(empty, plain)
    torch.testing.assert_close(masked, plain)


@pytest.mark.parametrize('backend', ['reference', *FAST])
def test_frames_beside_each_other_are_one_clip(make_problem, backend):
    """Batched clips give what they give alone."""
    problem = make_problem(batch=3, instance_aware=True)
    together = problem.call(backend)
    for i in range(3):
        alone = problem.call(backend, *(tensor[i : i + 1] for tensor in problem.tensors))
        torch.testing.assert_close(together[i : i + 1], alone)


@pytest.mark.parametrize('backend', ['reference', *FAST])
def test_temporal_slots_are_the_other_frames_ascending(make_problem, backend):
    """Frame values are 1, 10, 100; with all weight on one slot the output names its frame."""
    frames = 3
    problem = make_problem(frames=frames, batch=1, shapes=((3, 3),), spread=0.1, points=1,
                           temporal_points=1)  # fmt: skip
    value, reference, offsets, logits, temporal_offsets, temporal_logits = problem.tensors
    value = torch.tensor([1.0, 10.0, 100.0]).double().view(1, 3, 1, 1, 1).expand_as(value)
    reference = torch.full_like(reference, 0.5)
    for slot in range(frames - 1):
        chosen = torch.full_like(temporal_logits, -200.0)
        chosen[..., slot, :, :] = 200.0
        output = problem.call(
            backend, value, reference, offsets, logits * 0 - 200, temporal_offsets, chosen
        )
        others = [[1, 2], [0, 2], [0, 1]]
        expected = torch.tensor([10.0 ** others[t][slot] for t in range(frames)]).double()
        torch.testing.assert_close(output, expected.view(1, 3, 1, 1).expand_as(output))


@pytest.mark.parametrize('backend', ['reference', *FAST])
def test_instance_aware_uses_the_reference_of_the_frame_looked_at(make_problem, backend):
    """Each frame has one bright pixel, at its own query's reference: found only if aware."""
    problem = make_problem(frames=2, batch=1, shapes=((4, 4),), queries=1, points=1,
                           temporal_points=1)  # fmt: skip
    value, reference, offsets, logits, temporal_offsets, temporal_logits = problem.tensors
    value = torch.zeros_like(value)
    value[:, 0, 0], value[:, 1, 15] = 1.0, 1.0
    reference = torch.tensor([0.125, 0.875]).double().view(1, 2, 1, 1, 1).expand_as(reference)
    arguments = (value, problem.spatial_shapes, reference, offsets * 0, logits * 0,
                 temporal_offsets * 0, temporal_logits * 0)  # fmt: skip
    aware = temporal_deform_attn(*arguments, instance_aware=True, backend=backend)
    own = temporal_deform_attn(*arguments, instance_aware=False, backend=backend)
    torch.testing.assert_close(aware, torch.ones_like(aware))
    torch.testing.assert_close(own, torch.full_like(own, 0.5))


@pytest.mark.parametrize('backend', ['reference', *FAST])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_low_precision_is_computed_in_float32(make_problem, backend, dtype):
    problem = make_problem().to(dtype)
    expected = problem.to(torch.float64).call('reference')
    found = problem.call(backend)
    assert found.dtype == dtype
    # One rounding of the result: half a unit in the last place of its dtype.
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), expected, rtol=0.51 * step, atol=1e-5)
    grads = problem.call_with_grads(backend)[1:]
    assert all(grad.dtype == dtype and grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize('backend', ['reference', *FAST])
def test_mixed_dtypes(make_problem, backend):
    """Under autocast projections are low precision and references float32."""
    problem = make_problem(dtype=torch.float32)
    value, reference, *rest = problem.tensors
    low = [tensor.bfloat16() for tensor in rest]
    found = problem.call(backend, value, reference, *low)
    assert found.dtype == torch.float32
    expected = problem.call(backend, value, reference, *(tensor.float() for tensor in low))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('backend', ['reference', *FAST])
def test_only_wanted_gradients(make_problem, backend):
    problem = make_problem(boxes=True)
    everything = problem.call_with_grads(backend)
    for i, tensor in enumerate(problem.tensors):
        leaves = [t.detach() for t in problem.tensors]
        leaves[i] = tensor.detach().clone().requires_grad_()
        problem.call(backend, *leaves).backward(problem.grad)
        torch.testing.assert_close(leaves[i].grad, everything[i + 1])


@pytest.mark.parametrize('backend', ['cpu', 'gather'])
def test_strided_arguments(make_problem, backend):
    problem = make_problem()
    strided = [t.transpose(0, -1).contiguous().transpose(0, -1) for t in problem.tensors]
    assert not strided[0].is_contiguous()
    torch.testing.assert_close(problem.call(backend, *strided), problem.call('reference'))


@pytest.mark.skipif('cpu' not in FAST, reason='no C compiler here')
def test_native_result_does_not_depend_on_threads(make_problem):
    problem = make_problem(queries=200, boxes=True, instance_aware=True, dtype=torch.float32)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(problem.call_with_grads('cpu'))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*results):
        assert torch.equal(one, other)


@pytest.mark.parametrize('backend', ['reference', *FAST])
def test_nan_shows(make_problem, backend):
    """A model that diverges must not look healthy."""
    problem = make_problem(queries=2)
    for i in (2, 3, 4, 5):
        tensors = [t.clone() for t in problem.tensors]
        tensors[i][0, 0, 0] = torch.nan
        output = problem.call(backend, *tensors)
        if i in (3, 5) or backend in ('cpu', 'gather'):
            assert output[0, 0, 0].isnan().all()
        assert output[1].isfinite().all()


@pytest.mark.gpu
@pytest.mark.parametrize('backend', ['triton', 'mmcv', 'gather', 'reference'])
def test_equals_reference_on_a_gpu(make_problem, backend):
    for name, case in CASES.items():
        problem = make_problem(7, **case)
        expected = problem.call_with_grads('reference')
        found = problem.to(torch.float32).to('cuda').call_with_grads(backend)
        for one, other in zip(found, expected):
            assert (one.device.type, one.dtype) == ('cuda', torch.float32), name
            torch.testing.assert_close(
                one.cpu().double(),
                other,
                msg=lambda message, name=name: f'{name}: {message}',
                **TOLERANCE[torch.float32],
            )


@pytest.mark.gpu
@pytest.mark.parametrize('backend', ['triton', 'mmcv', 'gather', 'reference'])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_low_precision_on_a_gpu(make_problem, backend, dtype):
    """As under autocast: everything low precision but the references."""
    problem = make_problem(4, channels=32, queries=70).to(torch.float32)
    tensors = [t if i == 1 else t.to(dtype) for i, t in enumerate(problem.tensors)]
    problem = type(problem)(tuple(tensors), problem.spatial_shapes, grad=problem.grad.to(dtype))
    expected = problem.to(torch.float64).call_with_grads('reference')
    step = torch.finfo(dtype).eps
    for one, other in zip(problem.to('cuda').call_with_grads(backend), expected):
        torch.testing.assert_close(one.cpu().double(), other, rtol=4 * step, atol=8 * step)
