"""mmcv with compiled operators: from a kept wheel, else built from source once.

Neither brand offers ready-made wheels for current torch, and a wheel's name does not say for which
torch it was built. So every wheel is tried out after it is installed, and own builds are kept in a
folder per Python, torch and machine type.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from console import Progress, SetupError, duration, run, say, stream_lines
from environment import Environment

#: Loads the library and runs one operator.
TRY_OPERATORS = """
import torch, mmcv._ext
from mmcv.ops import nms
boxes = torch.tensor([[0., 0., 4., 4.], [0., 0., 4., 3.9]])
assert len(nms(boxes, torch.tensor([0.9, 0.8]), 0.5)[1]) == 1
"""
TRY_CUDA = """
from mmcv.ops import get_compiling_cuda_version
assert get_compiling_cuda_version() != 'not available', 'built without CUDA operators'
"""
#: Seconds that one C++ file takes on one core, measured with debug symbols off.
SECONDS_PER_FILE = 11.0
MEMORY_PER_JOB = 2 * 1024**3
DISK_NEEDED = 2 * 1024**3


def cache_folder() -> Path:
    """Finds the folder that keeps built wheels between environments."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'mmdevis'


def works(environment: Environment, gpu: bool) -> str | None:
    """Tries the installed operators; returns None when they work, else why not."""
    return environment.failure(TRY_OPERATORS + (TRY_CUDA if gpu else ''))


def build_key(environment: Environment, distribution: str, version: str, gpu: bool) -> str:
    """Names what a built wheel depends on, as a folder name."""
    code = 'import sys, torch; print(sys.implementation.cache_tag, torch.__version__)'
    tag, torch = environment.ask(code).split()
    kind = 'cuda' if gpu else 'cpu'
    return f'{distribution}-{version}-{tag}-torch{torch}-{kind}-{platform.machine()}'


def install(
    environment: Environment,
    distribution: str,
    version: str,
    gpu: bool,
    shared: Iterable[Path],
    options: Sequence[str] = (),
) -> None:
    """Installs mmcv from a kept wheel that works, or builds one.

    Args:
        environment: Where to.
        distribution: Name that pip knows.
        version: Version.
        gpu: Whether CUDA operators are needed.
        shared: Further folders that may hold wheels.
        options: Options for pip where it installs what mmcv depends on.

    Raises:
        SetupError: When it cannot be installed or built, with what to install.
    """
    cache = cache_folder()
    kept = cache / 'wheels' / build_key(environment, distribution, version, gpu)
    for folder in (kept, *shared):
        wheels = list(folder.glob(f'{distribution.replace("-", "_")}-{version}-*.whl'))
        if wheels and _install_from(environment, distribution, version, gpu, folder, options):
            return
    problems = missing_for_build(environment, cache, gpu)
    if problems:
        listed = '\n'.join(f'  - {problem}' for problem in problems)
        raise SetupError(
            f"mmcv's compiled operators must be built from source, and cannot be here:\n{listed}\n"
            'MMDetection does not import without them. Nothing was built; install what is missing '
            'and run the same command again.'
        )
    build(environment, distribution, version, gpu, cache / 'build' / kept.name, kept)
    if not _install_from(environment, distribution, version, gpu, kept, options):
        raise SetupError(
            f'the wheel just built in {kept} does not work: {works(environment, gpu)}\n'
            'Delete that folder to build it again, or choose another torch with TORCH=.'
        )


def _install_from(
    environment: Environment,
    distribution: str,
    version: str,
    gpu: bool,
    folder: Path,
    options: Sequence[str],
) -> bool:
    say(f'installing {distribution} {version} from {folder}')
    # Reinstalled, because another folder's wheel of the same version may be there and not work.
    only = ['--only-binary', distribution, '--find-links', os.fspath(folder)]
    wheel = ['--no-index', '--no-deps', '--force-reinstall', f'{distribution}=={version}']
    try:
        environment.pip('install', '-q', *only, *wheel, what='installing the wheel')
    except SetupError as error:
        say(f'that wheel is not for this Python or machine: {error}')
        return False
    # Then what it depends on, from wherever pip gets things.
    environment.pip(
        'install',
        '-q',
        *options,
        *only,
        f'{distribution}=={version}',
        what=f'installing {distribution}',
    )
    reason = works(environment, gpu)
    if reason is None:
        return True
    say(f'that wheel does not work with the torch here ({reason})')
    environment.pip('uninstall', '-q', '-y', distribution, what='removing it')
    return False


def missing_for_build(environment: Environment, cache: Path, gpu: bool) -> list[str]:
    """Checks everything that a build needs, before it starts.

    Args:
        environment: Where torch is.
        cache: Where the build will be.
        gpu: Whether CUDA operators are needed.

    Returns:
        One sentence for each thing that is missing, with what to install.
    """
    problems = []
    version = environment.ask('import sys; print("%d.%d" % sys.version_info[:2])')
    headers = Path(environment.ask('import sysconfig; print(sysconfig.get_paths()["include"])'))
    compiler = next(
        (
            found
            for name in (os.environ.get('CXX'), 'c++', 'g++')
            if name and (found := shutil.which(name))
        ),
        None,
    )
    if compiler is None:
        problems.append(
            'no C++ compiler (g++). On Debian or Ubuntu: sudo apt-get install g++ ; '
            'without root: conda install -c conda-forge gxx'
        )
    if not (headers / 'Python.h').exists():
        problems.append(
            f'no {headers / "Python.h"}. On Debian or Ubuntu: sudo apt-get install '
            f'python{version}-dev ; without root: a conda Python brings it'
        )
    elif compiler is not None and (error := _compile_error(compiler, headers)):
        problems.append(
            f'{compiler} cannot compile a small C++17 file: {error}. On Debian or Ubuntu: '
            'sudo apt-get install g++'
        )
    torch = environment.ask(
        'import torch; print(torch.version.cuda or "cpu"); print(torch.__file__)'
    )
    cuda, torch_file = torch.splitlines()
    if not (Path(torch_file).parent / 'include' / 'torch' / 'extension.h').exists():
        problems.append(
            f'the torch in {Path(torch_file).parent} comes without its C++ headers: install it '
            'with pip (TORCH= chooses the version)'
        )
    if gpu:
        problems += _missing_for_cuda(cuda)
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if free < DISK_NEEDED:
        problems.append(
            f'{free / 1024**3:.1f} GiB free in {cache}, {DISK_NEEDED / 1024**3:.0f} GiB are needed '
            '(XDG_CACHE_HOME= chooses another place)'
        )
    return problems


def _compile_error(compiler: str, headers: Path) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / 'try.cpp'
        source.write_text('#include <Python.h>\n#include <optional>\nstd::optional<int> x;\n')
        done = subprocess.run(
            [compiler, '-std=c++17', '-fsyntax-only', f'-I{headers}', os.fspath(source)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    return (done.stderr.strip() or 'it failed').splitlines()[0] if done.returncode else None


def _missing_for_cuda(torch_cuda: str) -> list[str]:
    other = 'DEVICE=cpu sets up without the GPU'
    if torch_cuda == 'cpu':
        return [
            'the installed torch is a CPU build but there is a GPU: choose a CUDA build '
            f'(such as TORCH=2.13.0+cu126), or {other}'
        ]
    home = os.environ.get('CUDA_HOME')
    nvcc = shutil.which('nvcc', path=os.path.join(home, 'bin') if home else None)
    if nvcc is None and Path('/usr/local/cuda/bin/nvcc').exists():
        nvcc = '/usr/local/cuda/bin/nvcc'
    if nvcc is None:
        return [
            f"no nvcc (CUDA's compiler): install the CUDA toolkit {torch_cuda} and set CUDA_HOME "
            f'(without root: conda install -c nvidia cuda-toolkit={torch_cuda}), or {other}'
        ]
    release = re.search(
        r'release (\d+)\.(\d+)', run([nvcc, '--version'], 'asking nvcc', show=False)
    )
    if release and release.group(1) != torch_cuda.split('.')[0]:
        return [
            f'{nvcc} is of CUDA {release.group(1)}.{release.group(2)}, torch was built with '
            f'{torch_cuda}: set CUDA_HOME to a toolkit {torch_cuda}, choose another torch with '
            f'TORCH=, or {other}'
        ]
    return []


def parallel_jobs() -> int:
    """Says how many files to compile at once: MAX_JOBS, else one per core as memory allows."""
    if os.environ.get('MAX_JOBS', '').isdigit():
        return max(1, int(os.environ['MAX_JOBS']))
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_AVPHYS_PAGES')
    return max(1, min(cores, memory // MEMORY_PER_JOB))


def build(
    environment: Environment, distribution: str, version: str, gpu: bool, work: Path, keep: Path
) -> None:
    """Builds a wheel with operators and keeps it.

    The source lies unpacked in a folder of its own, so that a build that was interrupted goes on
    with the files that are not compiled yet.

    Args:
        environment: Whose Python and torch to build for.
        distribution: Name that pip knows.
        version: Version.
        gpu: Whether to build CUDA operators.
        work: Folder to build in; removed at the end.
        keep: Folder that receives the wheel, complete or not at all.

    Raises:
        SetupError: When the source cannot be had or the build fails.
    """
    # Without ninja the files would be compiled one after the other.
    environment.pip('install', '-q', 'ninja', 'packaging', what='installing ninja')
    source = _unpacked_source(environment, distribution, version, work)
    operators = source / 'mmcv' / 'ops' / 'csrc' / 'pytorch'
    total = len([*operators.glob('*.cpp'), *operators.glob('cpu/*.cpp')])
    if gpu:
        total += len([*operators.glob('cuda/*.cu'), *operators.glob('cuda/*.cpp')])
    jobs = parallel_jobs()
    say(
        f"building mmcv's operators from source, once: {total} files, {jobs} at a time, about "
        f'{duration(total * SECONDS_PER_FILE / jobs)} if nothing else runs'
        f'{" (CUDA files take longer)" if gpu else ""}. '
        'Ctrl-C is safe, the next run goes on. '
        f'Full output: {work / "build.log"}'
    )
    output = work / 'dist'
    path = os.pathsep.join([os.fspath(environment.python.parent), os.environ.get('PATH', '')])
    settings = {
        'PATH': path,
        'MMCV_WITH_OPS': '1',
        'FORCE_CUDA': '1' if gpu else '0',
        'MAX_JOBS': str(jobs),
        'CFLAGS': f'{os.environ.get("CFLAGS", "")} -g0'.strip(),  # debug symbols double the time
        'CXXFLAGS': f'{os.environ.get("CXXFLAGS", "")} -g0'.strip(),
    }
    options = ['-v', '--no-deps', '--no-build-isolation', '--no-cache-dir', '-w', output]
    command = [environment.python, '-m', 'pip', 'wheel', *options, source]
    progress = Progress('compiling mmcv', total)
    earlier = sum(1 for _ in source.glob('build/temp*/**/*.o'))
    progress.update(min(earlier, total))  # the first file alone can take a minute
    for line in stream_lines(command, work / 'build.log', settings):
        # ninja counts only what this run has to compile: "[3/79] c++ ..."
        if step := re.match(r'\s*\[(\d+)/(\d+)\] ', line):
            done, of = int(step.group(1)), int(step.group(2))
            earlier = max(0, total - of)
            progress.update(min(earlier + done, total))
    progress.close()
    wheels = list(output.glob('*.whl'))
    if not wheels:
        raise SetupError(f'pip built no wheel; see {work / "build.log"}')
    keep.mkdir(parents=True, exist_ok=True)
    os.replace(wheels[0], keep / wheels[0].name)
    shutil.rmtree(work, ignore_errors=True)
    say(f'kept {keep / wheels[0].name}')


def _unpacked_source(environment: Environment, distribution: str, version: str, work: Path) -> Path:
    unpacked = work / 'source'
    if not unpacked.exists():
        say(f'fetching the source of {distribution} {version}')
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        options = ['--no-deps', '--no-build-isolation', '--no-binary', distribution]
        environment.pip(
            'download', '-q', *options, '-d', os.fspath(work), f'{distribution}=={version}',
            what=f'fetching the source of {distribution}',
        )  # fmt: skip
        archive = next(work.glob('*.tar.gz'))
        partial = work / 'partial'
        with tarfile.open(archive) as file:
            # The filter is missing in early patch releases of Python 3.10 and 3.11.
            file.extractall(
                partial, **({'filter': 'data'} if hasattr(tarfile, 'data_filter') else {})
            )
        os.replace(next(partial.iterdir()), unpacked)
    return unpacked
