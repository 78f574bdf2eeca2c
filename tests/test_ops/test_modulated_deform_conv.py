"""Modulated deformable convolution against mmcv's operator."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import modulated_deform_conv2d
from torch.utils.checkpoint import checkpoint

from mmdevis.ops import modulated_deform_conv as module
from mmdevis.ops import native_build
from mmdevis.ops.modulated_deform_conv import modulated_deform_conv

has_kernel = module._kernels() is not None
needs_kernel = pytest.mark.skipif(not has_kernel, reason='no C compiler here')


@dataclass(frozen=True)
class Case:
    count: int = 2
    channels: int = 5
    out_channels: int = 4
    size: tuple[int, int] = (7, 9)
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    spread: float = 1.0
    bias: bool = False

    @property
    def geometry(self):
        return self.stride, self.padding, self.dilation

    def inputs(self, dtype=torch.float64):
        """x, offset, mask, weight (, bias)."""
        generator = torch.Generator().manual_seed(1)

        def normal(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

        sizes = [
            (s + 2 * p - d * (k - 1) - 1) // t + 1
            for s, k, t, p, d in zip(self.size, self.kernel, *self.geometry)
        ]
        points = self.kernel[0] * self.kernel[1]
        tensors = [
            normal(self.count, self.channels, *self.size),
            normal(self.count, 2 * points, *sizes) * self.spread,
            normal(self.count, points, *sizes),
            normal(self.out_channels, self.channels, *self.kernel),
        ]
        if self.bias:
            tensors.append(normal(self.out_channels))
        return [tensor.requires_grad_() for tensor in tensors]


CASES = {
    'small': Case(),
    'single pixel': Case(count=1, size=(1, 1), spread=2),
    'far outside': Case(channels=8, size=(4, 6), spread=20),
    'bias': Case(bias=True),
    'stride': Case(size=(8, 11), stride=(2, 2)),
    'dilation': Case(size=(9, 8), padding=(2, 2), dilation=(2, 2)),
    'all unequal': Case(
        size=(9, 12), kernel=(2, 3), stride=(1, 2), padding=(0, 3), dilation=(3, 1), bias=True
    ),
    'pointwise': Case(kernel=(1, 1), padding=(0, 0)),
    'large kernel': Case(kernel=(5, 5), padding=(2, 2)),
    'one output': Case(out_channels=1, size=(10, 14), spread=3),
    'every vector length': Case(count=1, out_channels=127, size=(3, 5)),
    'several tiles': Case(count=1, out_channels=8, size=(13, 17), spread=3),
}


def mmcv(inputs, case):
    bias = inputs[4] if case.bias else None
    return modulated_deform_conv2d(*inputs[:4], bias, *case.geometry, 1, 1)


def ours(inputs, case):
    bias = inputs[4] if case.bias else None
    return modulated_deform_conv(*inputs[:4], bias, *case.geometry)


def assert_equal_with_gradients(case, dtype, **tolerances):
    inputs = case.inputs(dtype)
    mine, theirs = ours(inputs, case), mmcv(inputs, case)
    torch.testing.assert_close(mine, theirs, **tolerances)
    grad = torch.randn(mine.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    found = torch.autograd.grad(mine, inputs, grad)
    wanted = torch.autograd.grad(theirs, inputs, grad)
    for name, a, b in zip(('x', 'offset', 'mask', 'weight', 'bias'), found, wanted):
        torch.testing.assert_close(a, b, **tolerances, msg=lambda m, n=name: f'{n}: {m}')


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    """A machine that cannot build anything."""
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    for function in (native_build.load, module._kernels):
        function.cache_clear()
    yield
    monkeypatch.undo()
    for function in (native_build.load, module._kernels):
        function.cache_clear()


@pytest.fixture
def calls_of_mmcv(monkeypatch):
    """How often mmcv's operator was asked."""
    calls = []

    def count(*arguments):
        calls.append(arguments)
        return modulated_deform_conv2d(*arguments)

    monkeypatch.setattr(module, 'modulated_deform_conv2d', count)
    return calls


@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_equals_mmcv(case, calls_of_mmcv):
    assert_equal_with_gradients(case, torch.float64)
    assert not calls_of_mmcv


@pytest.mark.parametrize('name', ['small', 'one output', 'every vector length', 'several tiles'])
def test_equals_mmcv_in_float32(name):
    assert_equal_with_gradients(CASES[name], torch.float32, rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    st.builds(
        Case,
        count=st.integers(1, 3),
        channels=st.integers(1, 4),
        out_channels=st.integers(1, 20),
        size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
        kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
        stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
        padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
        spread=st.sampled_from([0.0, 0.3, 2.0, 100.0]),
        bias=st.booleans(),
    )
)
def test_equals_mmcv_for_any_geometry(case):
    assert_equal_with_gradients(case, torch.float64)


@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_equals_mmcv_without_compiler(case, no_compiler):
    assert_equal_with_gradients(case, torch.float64)


def test_missing_compiler_is_told_once(no_compiler, caplog):
    case = Case()
    for _ in range(2):
        ours(case.inputs(), case)
    (record,) = [r for r in caplog.records if r.levelname == 'WARNING']
    assert 'no C compiler' in record.message


@needs_kernel
@pytest.mark.parametrize('name', ['bias', 'all unequal', 'one output'])
def test_gradients_are_derivatives(name):
    case = CASES[name]
    case = Case(**{**vars(case), 'size': (5, 6), 'channels': 2})
    inputs = case.inputs()
    assert torch.autograd.gradcheck(lambda *t: ours(t, case), inputs)


def test_border_rule():
    """Up to one pixel outside counts by its distance, -1 and the size themselves do not."""
    x = torch.ones(1, 1, 2, 2)
    positions = torch.tensor([-1.0, -0.75, 0.0, 1.0, 1.25, 2.0, float('nan')])
    offset = torch.zeros(7, 2, 2, 2)
    offset[:, 0] = positions[:, None, None] - torch.tensor([[0.0], [1.0]])
    output = modulated_deform_conv(
        x.expand(7, -1, -1, -1), offset, torch.ones(7, 1, 2, 2), torch.ones(1, 1, 1, 1)
    )
    assert output[:, 0, 0, 0].tolist() == [0, 0.25, 1, 1, 0.75, 0, 0]


@needs_kernel
def test_what_is_outside_does_not_see_bad_pixels():
    x = torch.full((1, 1, 3, 3), float('nan'))
    for out_channels in (1, 8):
        output = modulated_deform_conv(
            x,
            torch.full((1, 2, 3, 3), 9.0),
            torch.ones(1, 1, 3, 3),
            torch.ones(out_channels, 1, 1, 1),
        )
        assert output.eq(0).all()


def test_no_offset_is_a_plain_convolution():
    x, offset, mask, weight = (tensor.detach() for tensor in Case().inputs())
    found = modulated_deform_conv(
        x, torch.zeros_like(offset), torch.ones_like(mask), weight, padding=1
    )
    torch.testing.assert_close(found, torch.nn.functional.conv2d(x, weight, padding=1))


@needs_kernel
def test_chunks_and_threads_change_nothing(monkeypatch):
    case = Case(count=5, out_channels=24, size=(9, 11))

    def run():
        inputs = case.inputs(torch.float32)
        output = ours(inputs, case)
        return [output, *torch.autograd.grad(output.sin().sum(), inputs)]

    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(run())
        for one, other in zip(*results):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
        torch.set_num_threads(1)
        monkeypatch.setattr(module, '_CHUNK_BYTES', 1)
        for one, other in zip(results[0], run()):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    finally:
        torch.set_num_threads(threads)


@needs_kernel
def test_twice_the_same():
    case = Case(count=4, out_channels=16, spread=3)

    def run():
        inputs = case.inputs(torch.float32)
        output = ours(inputs, case)
        return [output, *torch.autograd.grad(output.sin().sum(), inputs)]

    assert all(torch.equal(a, b) for a, b in zip(run(), run()))


@pytest.mark.parametrize('wanted', [(0,), (1,), (2,), (3,), (0, 3), (1, 2)])
def test_only_wanted_gradients(wanted):
    case = Case()
    inputs = case.inputs()
    every = torch.autograd.grad(ours(inputs, case).sum(), inputs)
    frozen = [t.detach().requires_grad_(i in wanted) for i, t in enumerate(inputs)]
    ours(frozen, case).sum().backward()
    for i, (leaf, grad) in enumerate(zip(frozen, every)):
        assert leaf.grad is None if i not in wanted else torch.equal(leaf.grad, grad)


def test_layout_in_memory_does_not_matter():
    case = Case(count=3)
    inputs = case.inputs()
    strided = [t.detach().to(memory_format=torch.channels_last) for t in inputs]
    strided[0] = strided[0].flip(0).flip(0).expand_as(inputs[0])
    strided = [t.requires_grad_() for t in strided]
    torch.testing.assert_close(ours(strided, case), ours(inputs, case))
    grad = torch.randn(3, 4, 9, 7, dtype=torch.float64).transpose(2, 3)
    for a, b in zip(
        torch.autograd.grad(ours(strided, case), strided, grad),
        torch.autograd.grad(ours(inputs, case), inputs, grad.contiguous()),
    ):
        torch.testing.assert_close(a, b)


def test_checkpoint():
    case = Case()
    inputs = case.inputs()
    plain = torch.autograd.grad(ours(inputs, case).sum(), inputs)
    output = checkpoint(lambda *t: ours(t, case), *inputs, use_reentrant=False)
    for a, b in zip(torch.autograd.grad(output.sum(), inputs), plain):
        assert torch.equal(a, b)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    case = Case(bias=True)
    inputs = case.inputs(dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        output = ours(inputs, case)
    assert output.dtype == dtype
    exact = mmcv([t.detach().float() for t in inputs], case)
    torch.testing.assert_close(output.float(), exact, rtol=torch.finfo(dtype).eps, atol=1e-4)
    output.float().sum().backward()
    assert all(t.grad.dtype == dtype and t.grad.isfinite().all() for t in inputs)


def test_follows_the_dtype_of_the_offset():
    """As mmcv: a float32 layer under autocast gets offsets of another dtype."""
    x, offset, mask, weight = Case().inputs(torch.float32)
    output = modulated_deform_conv(x, offset.double(), mask, weight, padding=1)
    assert output.dtype == torch.float64


@pytest.mark.parametrize('groups, deform_groups', [(2, 1), (1, 2)])
def test_groups_are_left_to_mmcv(groups, deform_groups, calls_of_mmcv):
    x, offset, mask, weight = Case(channels=4).inputs()
    weight = weight[:, : 4 // groups]
    offset, mask = (t.repeat(1, deform_groups, 1, 1) for t in (offset, mask))
    arguments = (x, offset, mask, weight, None, 1, 1, 1, groups, deform_groups)
    output = modulated_deform_conv(*arguments)
    assert len(calls_of_mmcv) == 1
    assert torch.equal(output, modulated_deform_conv2d(*arguments))


def test_no_sample():
    inputs = [t.detach()[:0].requires_grad_() for t in Case().inputs()[:3]]
    weight = Case().inputs()[3]
    output = modulated_deform_conv(*inputs, weight, padding=1)
    assert output.shape == (0, 4, 7, 9)
    output.sum().backward()
    assert weight.grad.eq(0).all() and inputs[0].grad.shape == inputs[0].shape


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda x, o, m, w: (x, o[:, :16], m, w), r'9 points need offset \(2, 18, 7, 9\)'),
        (lambda x, o, m, w: (x, o, m[..., :8], w), r'got .* \(2, 9, 7, 8\)'),
        (lambda x, o, m, w: (x, o[:1], m, w), r'need offset \(2, 18, 7, 9\)'),
        (lambda x, o, m, w: (x[:, :4], o, m, w), r'got \(2, 4, 7, 9\) and \(4, 5, 3, 3\)'),
        (lambda x, o, m, w: (x[0], o, m, w), r'expected x \(N, C, H, W\)'),
        (lambda x, o, m, w: (x[..., :0], o, m, w), 'smaller than the kernel'),
    ],
)
def test_names_shapes_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        modulated_deform_conv(*change(*Case().inputs()), padding=1)
