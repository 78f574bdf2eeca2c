"""Compile the C kernels on first use and load them; say why not, where that is impossible.

The shared library is kept per user in ``${XDG_CACHE_HOME:-~/.cache}/mmdevis/ops/<key>/``, where the
key is a hash of the sources, the compiler, its flags and the processor. Processes that start at the
same time may each compile; whoever finishes last replaces equal content in one step.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

__all__ = ['BuildError', 'cache_folder', 'load']

_SOURCES = Path(__file__).parent / 'csrc'
# The headers of each library's main source, which is called like the library.
_HEADERS = {
    'temporal_deform_attn': ('samples.h', 'forward.h', 'backward.h'),
    'modulated_deform_conv': ('modulated_deform_conv.h',),
}

# NaN and infinity keep their meaning (no -ffast-math); errno and floating-point traps are not used
# and would keep loops from being vectorised.
_FLAGS = ('-O3', '-fPIC', '-fno-math-errno', '-fno-trapping-math', '-Wno-psabi')
_TUNING = (('-march=native',), ('-mcpu=native',), ())
_TIMEOUT_SECONDS = 120


class BuildError(RuntimeError):
    """The kernels cannot be compiled or loaded here; the message says why."""


def cache_folder() -> Path:
    """Where compiled kernels are kept. It need not exist yet."""
    base = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    return Path(base) / 'mmdevis' / 'ops'


@cache
def load(name: str = 'temporal_deform_attn') -> ctypes.CDLL:
    """The compiled kernels, built if need be (1 to 5 seconds, once per machine and version).

    Args:
        name: Which library, one source of ``csrc`` without its ``.c``.

    Returns:
        The library with the functions of that source.

    Raises:
        BuildError: If there is no compiler, or compiling or loading fails.
    """
    if os.name != 'posix':
        raise BuildError(f'the C kernels are built on Linux and macOS only, this is {os.name}')
    compiler = _find_compiler()
    version = _run([compiler, '--version']).splitlines()[0]
    openmp = _openmp_flags(version)
    key = _key(name, compiler, version, openmp)
    library = cache_folder() / key / f'{name}.so'
    if not library.is_file():
        try:
            library.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BuildError(
                f'cannot create {library.parent} ({error}); set XDG_CACHE_HOME to a folder that '
                f'can be written'
            ) from error
        logging.getLogger('mmdevis').info('Compiling C kernels into %s.', library)
        _compile(name, compiler, openmp, library)
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise BuildError(f'{library} does not load ({error}); delete it and try again') from error


def _find_compiler() -> str:
    names = [os.environ['CC']] if os.environ.get('CC') else []
    for name in [*names, 'gcc', 'cc', 'clang']:
        path = shutil.which(name)
        if path is not None:
            return path
    raise BuildError('no C compiler found (CC, gcc, cc, clang); on Debian: apt install gcc')


def _openmp_runtime() -> str | None:
    """Path of the OpenMP runtime that torch has loaded into this process, if it can be told."""
    try:
        lines = Path('/proc/self/maps').read_text().splitlines()
    except OSError:
        lines = []
    paths = [line.split(maxsplit=5)[5] for line in lines if line.count('/')]
    names = ('libgomp', 'libomp', 'libiomp5')
    loaded = [path for path in paths if Path(path).name.startswith(names)]
    shipped = str(Path(torch.__file__).parent / 'lib')
    # torch's own first: another package may have brought a second runtime.
    loaded.sort(key=lambda path: not path.startswith(shipped))
    return loaded[0] if loaded else None


def _openmp_flags(version: str) -> tuple[list[str], list[str]]:
    """Flags of compiling and linking.

    The runtime that torch uses is linked by its path: a second one would bring a second pool of
    threads that compete for the cores. Clang's calls need its own runtime or Intel's; where torch
    uses another one, or none can be found, the kernels run on one thread.
    """
    runtime = _openmp_runtime()
    is_clang = 'clang' in version.lower()
    if runtime is None or (is_clang and Path(runtime).name.startswith('libgomp')):
        return ['-fopenmp-simd'], []
    return ['-fopenmp'], [runtime]


def _key(name: str, compiler: str, version: str, openmp: tuple[list[str], list[str]]) -> str:
    parts: list[str | bytes] = [compiler, version, platform.machine(), repr(_FLAGS), repr(openmp)]
    parts.append(_processor())
    parts += [(_SOURCES / file).read_bytes() for file in (f'{name}.c', *_HEADERS[name])]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b'\0')
    return digest.hexdigest()[:20]


def _processor() -> str:
    """What `-march=native` depends on: home folders are shared between unlike machines."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return platform.processor()
    wanted = ('model name', 'flags', 'Features', 'CPU part')
    return '\n'.join(sorted({line for line in lines if line.startswith(wanted)}))


def _compile(name: str, compiler: str, openmp: tuple[list[str], list[str]], library: Path) -> None:
    compiling, linking = openmp
    with tempfile.TemporaryDirectory(dir=library.parent, prefix='build-') as folder:
        product, built = os.path.join(folder, 'kernel.o'), os.path.join(folder, 'kernel.so')
        source = str(_SOURCES / f'{name}.c')
        errors = []
        for tuning in _TUNING:
            command = [compiler, *_FLAGS, *tuning, *compiling, '-c', source, '-o', product]
            try:
                _run(command)
                break
            except BuildError as error:
                errors.append(str(error))
        else:
            raise BuildError(errors[-1])
        _run([compiler, '-shared', product, '-o', built, *linking, '-lm'])
        os.replace(built, library)


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors='replace',
            timeout=_TIMEOUT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f'`{" ".join(command)}` failed: {error}') from error
    if done.returncode != 0:
        raise BuildError(
            f'`{" ".join(command)}` failed with status {done.returncode}: '
            f'{(done.stderr or done.stdout).strip()[-1500:]}'
        )
    return done.stdout or done.stderr
