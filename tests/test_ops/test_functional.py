"""Parity with the official release, and what bad arguments are answered."""

import pytest
import torch
import torch.nn.functional as F

from mmdevis.ops import available_backends, temporal_deform_attn

ALL = [name for name, reason in available_backends('cpu').items() if reason is None]
FRAMES, HEADS, LEVELS, POINTS, TEMPORAL_POINTS = 4, 4, 3, 4, 2


def tmsda(parity, weights, query, reference, value, instance_aware, backend):
    """The release's layer around the op, from stored weights: (T, Q, C) -> (T, Q, C)."""

    def linear(name, x):
        return F.linear(x, weights[f'{name}.weight'], weights[f'{name}.bias'])

    queries = query.shape[1]
    lead = (1, FRAMES, queries, HEADS)
    here, there = (LEVELS, POINTS), (FRAMES - 1, LEVELS, TEMPORAL_POINTS)
    output = temporal_deform_attn(
        linear('value_proj', value).view(1, FRAMES, -1, HEADS, value.shape[-1] // HEADS),
        tuple(map(tuple, parity['spatial_shapes'].tolist())),
        reference.view(1, FRAMES, queries, LEVELS, -1),
        linear('sampling_offsets', query).view(*lead, *here, 2),
        linear('attention_weights', query).view(*lead, *here),
        linear('temporal_sampling_offsets', query).view(*lead, *there, 2),
        linear('temporal_attention_weights', query).view(*lead, *there),
        instance_aware=instance_aware,
        backend=backend,
    )
    return linear('output_proj', output)[0]


def weights_of(parity, prefix):
    return {
        name.removeprefix(prefix): array.clone()
        for name, array in parity.items()
        if name.startswith(prefix)
    }


@pytest.mark.parametrize('backend', ALL)
def test_encoder_equals_the_release(parity, backend):
    weights = {k: v.requires_grad_() for k, v in weights_of(parity, 'enc_w.').items()}
    query = parity['enc_query'].clone().requires_grad_()
    value = parity['enc_value'].clone().requires_grad_()
    output = tmsda(parity, weights, query, parity['enc_ref'], value, False, backend)
    torch.testing.assert_close(output, parity['enc_out'], rtol=0, atol=1e-5)
    output.square().sum().backward()
    found = {f'w.{name}': weight.grad for name, weight in weights.items()}
    found |= {'query': query.grad, 'value': value.grad}
    assert len(found) == 14
    for name, grad in found.items():
        expected = parity[f'enc_grad_{name}']
        scale = expected.abs().max().item()
        torch.testing.assert_close(grad, expected, rtol=0, atol=1e-5 * scale, msg=name)


@pytest.mark.parametrize('backend', ALL)
@pytest.mark.parametrize('size', [2, 4])
@pytest.mark.parametrize('aware', [0, 1])
def test_decoder_equals_the_release(parity, aware, size, backend):
    case = f'dec_ia{aware}_ref{size}_'
    output = tmsda(
        parity,
        weights_of(parity, f'{case}w.'),
        parity[f'{case}query'].view(FRAMES, -1, 32),
        parity[f'{case}ref'],
        parity[f'{case}value'],
        bool(aware),
        backend,
    )
    expected = parity[f'{case}out'].view_as(output)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


def _without(tensors, index, replacement):
    return tuple(replacement if i == index else t for i, t in enumerate(tensors))


@pytest.mark.parametrize('index', [1, 2, 3, 4, 5])
def test_wrong_size_names_the_argument(make_problem, index):
    problem = make_problem()
    names = ('value', 'reference', 'offsets', 'logits', 'temporal_offsets', 'temporal_logits')
    tensor = problem.tensors[index]
    wrong = _without(problem.tensors, index, torch.cat([tensor, tensor], 1))
    with pytest.raises(ValueError, match=names[index]):
        problem.call('reference', *wrong)


def test_wrong_spatial_shapes(make_problem):
    problem = make_problem(shapes=((3, 4),))
    for shapes in (((3, 5),), ((4, 3), (1, 1)), ((-3, -4),)):
        with pytest.raises(ValueError, match='12 tokens'):
            temporal_deform_attn(problem.tensors[0], shapes, *problem.tensors[1:])


def test_wrong_dimensions(make_problem):
    problem = make_problem()
    for index, match in ((0, r'\(B, T, N, M, D\)'), (2, 'offsets'), (4, 'temporal_offsets')):
        wrong = _without(problem.tensors, index, problem.tensors[index][0])
        with pytest.raises(ValueError, match=match):
            problem.call('reference', *wrong)


def test_reference_of_three_numbers(make_problem):
    problem = make_problem(boxes=True)
    wrong = _without(problem.tensors, 1, problem.tensors[1][..., :3])
    with pytest.raises(ValueError, match='2 .points. or 4 .boxes.'):
        problem.call('reference', *wrong)


def test_no_points_or_levels(make_problem):
    with pytest.raises(ValueError, match='at least one'):
        make_problem(points=0).call('reference')
    with pytest.raises(ValueError, match='at least one'):
        make_problem(shapes=()).call('reference')


@pytest.mark.parametrize('missing', [4, 5])
def test_half_of_the_temporal_arguments(make_problem, missing):
    problem = make_problem()
    with pytest.raises(ValueError, match='both or neither'):
        problem.call('reference', *_without(problem.tensors, missing, None))


def test_integers(make_problem):
    problem = make_problem()
    for index in range(6):
        wrong = _without(problem.tensors, index, problem.tensors[index].long())
        with pytest.raises(TypeError, match='floating point'):
            problem.call('reference', *wrong)


def test_different_devices(make_problem):
    problem = make_problem()
    wrong = _without(problem.tensors, 3, problem.tensors[3].to('meta'))
    with pytest.raises(RuntimeError, match='logits.*meta.*cpu'):
        problem.call('reference', *wrong)
