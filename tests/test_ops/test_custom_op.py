"""The op inside PyTorch's machinery: opcheck, compile, export, autocast."""

import pytest
import torch
from torch import nn

from mmdevis.ops import available_backends, temporal_deform_attn
from mmdevis.ops.custom_op import temporal_deform_attn_backward_op, temporal_deform_attn_op

pytestmark = pytest.mark.skipif(
    available_backends('cpu')['cpu'] is not None, reason='no C compiler here'
)


def _op_arguments(problem, requires_grad=True):
    flat = [size for shape in problem.spatial_shapes for size in shape]
    tensors = [tensor.clone().requires_grad_(requires_grad) for tensor in problem.tensors]
    return (tensors[0], flat, *tensors[1:], problem.instance_aware, 'cpu')


@pytest.mark.parametrize(
    'case',
    [{}, {'boxes': True, 'instance_aware': True}, {'temporal_points': 0}, {'dtype': torch.float32}],
    ids=['2d', '4d', 'no temporal', 'f32'],
)
def test_opcheck(make_problem, case):
    problem = make_problem(batch=1, queries=2, **case)
    torch.library.opcheck(temporal_deform_attn_op, _op_arguments(problem))


def test_opcheck_of_backward(make_problem):
    problem = make_problem(batch=1, queries=2)
    arguments = _op_arguments(problem, requires_grad=False)
    output = temporal_deform_attn_op(*arguments)
    torch.library.opcheck(
        temporal_deform_attn_backward_op,
        (torch.ones_like(output), output, *arguments, True, True),
    )


def test_second_derivative_is_refused(make_problem):
    """Rather an error than a wrong number; the reference back end has it."""
    problem = make_problem()
    value = problem.tensors[0].clone().requires_grad_()
    output = problem.call('cpu', value, *problem.tensors[1:])
    (grad,) = torch.autograd.grad(output.square().sum(), value, create_graph=True)
    with pytest.raises(RuntimeError):
        grad.sum().backward()


class Layer(nn.Module):
    """A layer around the op, as small as one can be."""

    def __init__(self, shapes, heads=2, channels=4, frames=3, points=2, backend=None):
        super().__init__()
        levels, self.shapes, self.backend = len(shapes), shapes, backend
        self.sizes = [(levels, points, 2), (levels, points)]
        self.sizes += [(frames - 1, levels, points, 2), (frames - 1, levels, points)]
        width = heads * channels
        self.heads = heads
        self.value = nn.Linear(width, width)
        self.projections = nn.ModuleList(
            nn.Linear(width, heads * torch.Size(size).numel()) for size in self.sizes
        )

    def forward(self, x, reference):
        lead = (*x.shape[:3], self.heads)
        predictions = [p(x).view(*lead, *s) for p, s in zip(self.projections, self.sizes)]
        value = self.value(x).view(*lead, -1)
        return temporal_deform_attn(
            value, self.shapes, reference, *predictions, backend=self.backend
        )


def _layer(backend):
    shapes = ((3, 4), (2, 2))
    layer = Layer(shapes, backend=backend)
    return layer, (torch.randn(2, 3, 16, 8), torch.rand(2, 3, 16, 2, 2))


@pytest.mark.parametrize('compiler', ['eager', 'aot_eager'])
@pytest.mark.parametrize('backend', ['cpu', 'reference', None])
def test_compile_without_a_graph_break(backend, compiler):
    layer, inputs = _layer(backend)
    expected = layer(*inputs)
    expected.sum().backward()
    grads = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    torch._dynamo.reset()
    output = torch.compile(layer, backend=compiler, fullgraph=True)(*inputs)
    torch.testing.assert_close(output, expected)
    output.sum().backward()
    for parameter, grad in zip(layer.parameters(), grads):
        torch.testing.assert_close(parameter.grad, grad)


@pytest.mark.parametrize('backend', ['cpu', 'reference'])
def test_export(backend):
    layer, inputs = _layer(backend)
    program = torch.export.export(layer, inputs)
    torch.testing.assert_close(program.module()(*inputs), layer(*inputs))
    targets = {str(node.target) for node in program.graph.nodes}
    assert any('mmdevis' in target for target in targets) == (backend == 'cpu')


def test_export_with_a_dynamic_batch():
    layer, inputs = _layer('cpu')
    batch = torch.export.Dim('batch', min=1, max=8)
    program = torch.export.export(layer, inputs, dynamic_shapes=({0: batch}, {0: batch}))
    more = (torch.randn(5, 3, 16, 8), torch.rand(5, 3, 16, 2, 2))
    torch.testing.assert_close(program.module()(*more), layer(*more))


@pytest.mark.parametrize('backend', ['cpu', 'gather', 'mmcv', 'reference'])
def test_autocast(backend):
    """Projections run in bfloat16; the op computes in float32 and returns what it was given."""
    layer, (x, reference) = _layer(backend)
    expected = layer(x, reference)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        output = layer(x, reference)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), expected, rtol=0.05, atol=0.05)
    output.float().sum().backward()
    assert all(
        p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in layer.parameters()
    )
