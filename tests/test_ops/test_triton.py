"""The Triton kernels: right in the interpreter, and compilable for a GPU that is not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmdevis.ops import available_backends, dispatch

triton = pytest.importorskip('triton', reason='Triton is not installed (pip install triton)')


@pytest.mark.slow
def test_in_the_interpreter():
    """All of triton_interpreted.py, which says why it needs a process of its own."""
    file = Path(__file__).with_name('triton_interpreted.py')
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', str(file)]
    environment = {**os.environ, 'TRITON_INTERPRET': '1'}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, cwd=file.parents[2]
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert 'skipped' not in done.stdout


def test_only_with_a_gpu_or_the_interpreter(monkeypatch):
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)
    dispatch._unavailable.cache_clear()
    assert 'cuda only' in available_backends('cpu')['triton']


@pytest.mark.parametrize('name', ['forward_kernel', 'backward_kernel'])
def test_compiles_for_a_gpu(name):
    """To machine code for compute capability 9.0, with 16-byte loads of the value."""
    compiler = pytest.importorskip('triton.compiler')
    target = pytest.importorskip('triton.backends.compiler').GPUTarget('cuda', 90, 32)
    from mmdevis.ops.backends import triton_kernels

    kernel = getattr(triton_kernels, name)
    constants = dict(
        HEADS=8, CHANNELS=32, LEVELS=4, POINTS=4, TEMPORAL_POINTS=4, BOXES=False, AWARE=False,
        BLOCK_Q=64, BLOCK_D=32, BLOCK_S=64,
    )  # fmt: skip
    if name == 'backward_kernel':
        constants |= dict(NEEDS_VALUE=True, NEEDS_REFERENCE=False)
    kinds = dict.fromkeys(('frames', 'tokens', 'queries', 'num_levels'), 'i32')
    kinds |= {'levels': '*i32', **dict.fromkeys(constants, 'constexpr')}
    kinds |= dict.fromkeys(('reference', 'grad_value', 'grad_reference'), '*fp32')
    signature = {argument: kinds.get(argument, '*bf16') for argument in kernel.arg_names}
    places = {argument: (i,) for i, argument in enumerate(kernel.arg_names)}
    aligned = {places[a]: [['tt.divisibility', 16]] for a, k in signature.items() if '*' in k}
    try:
        source = compiler.ASTSource(
            fn=kernel,
            signature=signature,
            constexprs={places[a]: value for a, value in constants.items()},
            attrs=aligned,
        )
    except TypeError:
        pytest.skip(f'Triton {triton.__version__} describes sources differently')
    ptx = triton.compile(source, target=target).asm['ptx']
    assert 'ld.global.v4.b32' in ptx
