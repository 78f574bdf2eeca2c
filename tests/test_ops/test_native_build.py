"""The C kernels are built once, atomically, and never break anything where they cannot be built."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from mmdevis.ops import native_build, resolve_backend
from mmdevis.ops.backends import cpu
from mmdevis.ops.dispatch import _unavailable

has_compiler = cpu.unavailable('cpu') is None


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache folder, and nothing remembered."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(native_build, '_FLAGS', ('-O0', '-fPIC', '-Wno-psabi'))
    monkeypatch.setattr(native_build, '_TUNING', ((),))
    for function in (native_build.load, _unavailable):
        function.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    for function in (native_build.load, _unavailable):
        function.cache_clear()


def _libraries(folder):
    return [path for path in folder.rglob('*') if path.is_file()]


@pytest.mark.skipif(not has_compiler, reason='no C compiler here')
def test_built_once_into_the_cache(fresh, monkeypatch):
    native_build.load()
    (library,) = _libraries(fresh)
    assert library.is_relative_to(fresh / 'cache' / 'mmdevis' / 'ops')
    native_build.load.cache_clear()
    monkeypatch.setattr(native_build, '_compile', lambda *_: pytest.fail('built again'))
    native_build.load()


@pytest.mark.skipif(not has_compiler, reason='no C compiler here')
def test_threads_that_build_at_the_same_time(fresh):
    """The cached function may run twice at first; both must end with a library that loads."""
    errors = []

    def build():
        try:
            native_build.load.__wrapped__()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(_libraries(fresh)) == 1


def _fake_compiler(folder, body):
    path = folder / 'fake-cc'
    path.write_text(f'#!/bin/sh\n{body}\n')
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return str(path)


def test_compile_error_falls_back_and_is_told(fresh, monkeypatch, caplog):
    body = 'case "$1" in --version) echo fake 1.0;; *) echo "no such thing" >&2; exit 1;; esac'
    monkeypatch.setenv('CC', _fake_compiler(fresh, body))
    assert resolve_backend('cpu') == 'gather'
    assert resolve_backend('cpu') == 'gather'
    warnings = [r for r in caplog.records if r.levelname == 'WARNING']
    assert len(warnings) == 1 and 'no such thing' in warnings[0].message
    assert not _libraries(fresh / 'cache')
    with pytest.raises(RuntimeError, match='no such thing'):
        resolve_backend('cpu', backend='cpu')


def test_no_compiler(fresh, monkeypatch):
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.setenv('PATH', str(fresh))
    with pytest.raises(native_build.BuildError, match='no C compiler'):
        native_build.load()
    assert resolve_backend('cpu') == 'gather'


@pytest.mark.skipif(not has_compiler, reason='no C compiler here')
def test_compiler_that_is_not_there(fresh, monkeypatch):
    """A CC that names nothing is passed over."""
    expected = native_build._find_compiler()
    monkeypatch.setenv('CC', '/nowhere/cc')
    assert native_build._find_compiler() == expected


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_cache_that_cannot_be_written(fresh, monkeypatch):
    fresh.chmod(0o500)
    with pytest.raises(native_build.BuildError, match='XDG_CACHE_HOME'):
        native_build.load()


def test_cache_that_is_a_file(fresh):
    (fresh / 'cache').write_text('')
    with pytest.raises(native_build.BuildError, match='XDG_CACHE_HOME|no C compiler'):
        native_build.load()


@pytest.mark.skipif(not has_compiler, reason='no C compiler here')
def test_broken_library_is_named(fresh, monkeypatch):
    monkeypatch.setattr(native_build, '_compile', lambda *a: a[-1].write_bytes(b'no library'))
    with pytest.raises(native_build.BuildError, match='delete it'):
        native_build.load()


@pytest.mark.skipif(not has_compiler, reason='no C compiler here')
def test_one_openmp_runtime():
    """A second runtime would bring a second pool of spinning threads."""
    # Without the rest of mmdevis, whose packages may bring runtimes of their own.
    script = (
        'import sys, types, torch; package = types.ModuleType("mmdevis");'
        f'package.__path__ = [{str(Path(native_build.__file__).parents[1])!r}];'
        'sys.modules["mmdevis"] = package;'
        'from mmdevis.ops import native_build; native_build.load();'
        'print({line.split()[-1] for line in open("/proc/self/maps") if "libgomp" in line'
        ' or "libomp" in line or "libiomp" in line})'
    )
    if not os.path.exists('/proc/self/maps') or not torch.backends.openmp.is_available():
        pytest.skip('no OpenMP, or no way to tell')
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(eval(done.stdout.splitlines()[-1])) == 1
