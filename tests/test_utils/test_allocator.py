"""Freed memory stays with the process, unless the environment says otherwise."""

import os
import subprocess
import sys

import pytest

from mmdevis.utils import allocator

# A block of 96 MiB is above everything that glibc keeps by itself. It may take a few calls until a
# freed one fits: older versions ask for a little more than an aligned block of the same size has.
PROGRAM = """
import resource
import runpy
import sys
import torch

print(runpy.run_path(sys.argv[1])['keep_freed_memory']())

def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(24 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(20)
print(faults(8))
"""


@pytest.mark.parametrize(
    'variables, kept',
    [
        ({}, True),
        ({'MALLOC_MMAP_THRESHOLD_': '65536'}, False),
        ({'GLIBC_TUNABLES': 'glibc.malloc.trim_threshold=131072'}, False),
    ],
    ids=['default', 'variable', 'tunable'],
)
def test_freed_blocks_are_used_again(variables, kept):
    pytest.importorskip('resource', reason='the platform does not count page faults')
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith('MALLOC_') and name not in ('GLIBC_TUNABLES', 'LD_PRELOAD')
    }
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, allocator.__file__],
        env=inherited | {'OMP_NUM_THREADS': '1'} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    answer, faults = done.stdout.split()
    if kept and answer == 'False':
        pytest.skip('the C library is not glibc')
    assert answer == str(kept)
    # Fresh pages of eight blocks: 196,608 of 4 KiB, or 384 where the system gives huge ones.
    assert (int(faults) < 100) is kept


def test_only_the_c_library_that_knows_it(monkeypatch):
    for name in ('MALLOC_ARENA_MAX', 'GLIBC_TUNABLES', 'LD_PRELOAD'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(allocator.ctypes, 'CDLL', lambda name: object())
    assert not allocator.keep_freed_memory()
