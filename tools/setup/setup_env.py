"""Sets up everything that mmdevis needs, then runs a program in that environment.

    python tools/setup/setup_env.py [--then ARG ...]

What follows `--then` are arguments of the environment's Python. Environment variables choose:

- FRAMEWORK: `onedl` (default) or `openmmlab`, the brand of mmcv, mmengine and mmdet;
- TORCH: version of torch, such as 2.6.0 or 2.6.0+cu124 (default: the one last tested);
- DEVICE: `cpu` or `cuda` (default: what the machine has);
- VENV: folder of the environment (default: `.venv`);
- FORCE=1: check every step again (to start all over, remove `.venv`).

An active virtual or conda environment that already has torch is used and keeps its torch. Needs
only the standard library; each step is written down when it is complete, so that an interrupted
set-up goes on where it was, and a finished one starts at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

if sys.version_info < (3, 10):  # noqa: UP036 (an older Python shall say what is wrong)
    sys.exit(
        f'[setup] Python >= 3.10 is needed, this is {sys.version.split()[0]} ({sys.executable}). '
        'Choose another one: make test PYTHON=python3.11'
    )

import mmcv_wheel
import torch_choice
from console import SetupError, run, say
from environment import Environment, active_environment, create

REPOSITORY = Path(__file__).resolve().parents[2]
TRACKEVAL = ('trackeval==1.3.0', 'tabulate==0.10.0')


@dataclass
class Step:
    """One step of the set-up.

    Attributes:
        name: Name, shown and written down.
        request: What was asked for; the step runs again when it changes.
        distributions: Packages that it is about; it runs again when one of their versions changes.
        usable: Says whether what is there already will do (an environment made by hand).
        install: Does the work.
    """

    name: str
    request: str
    distributions: tuple[str, ...]
    usable: Callable[[], bool]
    install: Callable[[], None]


def load_versions_module() -> ModuleType:
    """Loads `mmdevis/utils/versions.py`, which needs the standard library only, by its file."""
    path = REPOSITORY / 'mmdevis' / 'utils' / 'versions.py'
    spec = importlib.util.spec_from_file_location('mmdevis_versions', path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def choose_environment(torch: str) -> Environment:
    """Takes an active environment that has torch, else the project's own.

    Args:
        torch: The user's choice of torch; another one than the active environment has goes into the
            project's own environment.
    """
    folder = Path(os.environ.get('VENV') or REPOSITORY / '.venv').absolute()
    active = active_environment()
    if active is not None and active.root.resolve() != folder.resolve():
        if not torch:
            say(f'using the active environment {active.root} and its torch')
            return active
        say(f'TORCH={torch} is given: leaving the active environment {active.root} alone')
    return create(folder)


def choose_brand(environment: Environment, wanted: str, versions: ModuleType) -> str:
    """Decides the brand of the frameworks and makes sure that the other one is not there too.

    Args:
        environment: The environment.
        wanted: `onedl`, `openmmlab`, or empty for what is there, else `onedl`.
        versions: Module with the distribution names.

    Returns:
        `onedl` or `openmmlab`.

    Raises:
        SetupError: On another word, or when an environment of the user's has the other brand.
    """
    brands = versions.DISTRIBUTIONS
    if wanted and wanted not in brands:
        raise SetupError(f'FRAMEWORK={wanted}: expected one of {", ".join(brands)}')
    present = environment.versions(name for names in brands.values() for name in names.values())
    there = {
        brand: [name for name in names.values() if present[name]] for brand, names in brands.items()
    }
    brand = wanted or next((brand for brand, found in there.items() if found), versions.ONEDL)
    others = [name for other, found in there.items() if other != brand for name in found]
    if others and not environment.owned:
        raise SetupError(
            f'the active environment {environment.root} has {", ".join(others)}, which import '
            f'under the same names as the packages of FRAMEWORK={brand}. It was left as it is: '
            'choose its brand, or deactivate it.'
        )
    if others:
        say(f'removing {", ".join(others)}: they would overwrite the packages of {brand}')
        environment.pip('uninstall', '-q', '-y', *others, what='removing the other brand')
        # Files that both brands have are gone with it.
        found = there[brand]
        if found:
            environment.pip('uninstall', '-q', '-y', *found, what='removing what it overwrote')
    return brand


def plan(environment: Environment, brand: str, torch: str, device: str) -> list[Step]:
    """Lists the steps.

    Args:
        environment: Where to set up.
        brand: `onedl` or `openmmlab`.
        torch: The user's choice of torch, empty for the default.
        device: The user's choice of device, empty to detect it.
    """
    versions = load_versions_module()
    gpu = torch_choice.has_gpu(device)
    names, pinned = versions.DISTRIBUTIONS[brand], versions.PINNED[brand]
    # OpenMMLab's own packages use pkg_resources, which later versions of setuptools lack.
    setuptools = 'setuptools<81' if brand == versions.OPENMMLAB else 'setuptools>=68'
    shared = [REPOSITORY.parent / 'shared' / 'wheels']

    def installed(name: str) -> str | None:
        return environment.versions([name])[name]

    def torch_usable() -> bool:
        version = installed('torch')
        if not version or not environment.succeeds('import torch'):
            return False
        if not versions.is_accepted('torch', version):
            if environment.owned:
                return False
            raise SetupError(
                f'the active environment {environment.root} has torch {version}; mmdevis needs '
                f'>= {versions.ACCEPTED["torch"][0]}. It was left as it is: deactivate it, or give '
                'TORCH= to set up .venv with another one.'
            )
        exact = torch.split('==')[-1] if torch else version
        return not torch or version == exact or version.split('+')[0] == exact

    def framework_usable(name: str) -> bool:
        version = installed(names[name])
        if not version:
            return False
        if environment.owned:
            return version == pinned[name]
        return versions.is_accepted(name, version)

    def constraints() -> list[str]:
        # Nothing that is installed later may exchange torch or the frameworks.
        fixed = environment.versions(['torch', *names.values()])
        lines = [f'{name}=={version}\n' for name, version in fixed.items() if version]
        if environment.owned:  # neither brand was written for the next generation of OpenCV
            lines.append('opencv-python<5\n')
        file = environment.root / '.mmdevis-constraints.txt'
        file.write_text(''.join(lines))
        return ['-c', os.fspath(file)]

    def install(*requirements: str) -> None:
        say(f'installing {" ".join(requirements)}')
        environment.pip(
            'install', '-q', '--no-build-isolation', *constraints(), *requirements,
            what=f'installing {" ".join(requirements)}',
        )  # fmt: skip

    def install_mmcv() -> None:
        options = constraints()
        mmcv_wheel.install(environment, names['mmcv'], pinned['mmcv'], gpu, shared, options)

    def opencv_usable() -> bool:
        return environment.succeeds('import cv2')

    def install_opencv() -> None:
        # The usual build needs libGL.so.1, which servers lack and only root can install; the
        # headless build takes its place in the same folder and does without.
        version = installed('opencv-python') or installed('opencv-python-headless')
        say(
            f'OpenCV does not load ({environment.failure("import cv2")}): trying its headless build'
        )
        name = f'opencv-python-headless=={version}' if version else 'opencv-python-headless'
        install('--force-reinstall', '--no-deps', name)
        if not opencv_usable():
            raise SetupError(f'OpenCV does not load: {environment.failure("import cv2")}')

    def install_trackeval() -> None:
        # Without its dependencies: it asks for a numpy that OpenCV's wheels refuse, and works with
        # the one that is here. Only HOTA, CLEAR and identity metrics need it, so nothing else
        # waits for it.
        try:
            install('--no-deps', *TRACKEVAL)
        except SetupError as error:
            say(f'TrackEval is missing, so HOTA, CLEAR and identity metrics are, too: {error}')

    project = hashlib.sha256((REPOSITORY / 'pyproject.toml').read_bytes()).hexdigest()[:16]
    tests = ('mmdevis', 'pytest', 'pytest-xdist', 'hypothesis', 'ruff')
    tools = ('setuptools', 'wheel')
    step = Step
    return [
        step('torch', torch, ('torch',), torch_usable,
             lambda: torch_choice.install(environment, torch, gpu)),
        step('build tools', setuptools, tools, lambda: False, lambda: install(setuptools, 'wheel')),
        step('mmengine', pinned['mmengine'], (names['mmengine'],),
             lambda: framework_usable('mmengine'),
             lambda: install(f'{names["mmengine"]}=={pinned["mmengine"]}')),
        step('mmcv', f'{pinned["mmcv"]} gpu {gpu}',
             (names['mmcv'], 'torch'),
             lambda: framework_usable('mmcv') and mmcv_wheel.works(environment, gpu) is None,
             install_mmcv),
        step('mmdet', pinned['mmdet'], (names['mmdet'],), lambda: framework_usable('mmdet'),
             lambda: install(f'{names["mmdet"]}=={pinned["mmdet"]}')),
        step('mmdevis', f'{project} {REPOSITORY}', tests, lambda: False,
             lambda: install('-e', f'{REPOSITORY}[dev]')),
        step('opencv', '', ('opencv-python', 'opencv-python-headless'), opencv_usable,
             install_opencv),
        step('trackeval', ' '.join(TRACKEVAL), ('trackeval', 'tabulate'),
             lambda: environment.succeeds('from trackeval import metrics'), install_trackeval),
        step('import', brand, (), lambda: False,
             lambda: run([environment.python, '-c', 'import mmdevis'], 'importing mmdevis')),
    ]  # fmt: skip


def carry_out(environment: Environment, steps: list[Step], force: bool = False) -> list[str]:
    """Carries out the steps that are not finished.

    Args:
        environment: Where to set up.
        steps: All steps, in order.
        force: Check also those that are written down as finished.

    Returns:
        Names of the steps that had something to do.
    """
    finished = {} if force else environment.finished()
    worked = []
    found = environment.versions(sorted({name for step in steps for name in step.distributions}))
    for step in steps:
        installed = {name: found[name] for name in step.distributions}
        if finished.get(step.name) == {'request': step.request, 'installed': installed}:
            continue
        finished.pop(step.name, None)
        environment.write_finished(finished)
        if not step.usable():
            step.install()
        worked.append(step.name)
        found.update(environment.versions(found))
        installed = {name: found[name] for name in step.distributions}
        finished[step.name] = {'request': step.request, 'installed': installed}
        environment.write_finished(finished)
    return worked


def set_up() -> Environment:
    """Sets everything up.

    Returns:
        The environment, complete.
    """
    torch, device = os.environ.get('TORCH', ''), os.environ.get('DEVICE', '')
    lock_file = REPOSITORY / '.cache' / 'setup.lock'
    lock_file.parent.mkdir(exist_ok=True)
    with lock_file.open('w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say('another set-up is at work in this folder: waiting for it')
            fcntl.flock(lock, fcntl.LOCK_EX)
        environment = choose_environment(torch)
        wanted = os.environ.get('FRAMEWORK', '')
        brand = choose_brand(environment, wanted, load_versions_module())
        steps = plan(environment, brand, torch, device)
        if carry_out(environment, steps, force=os.environ.get('FORCE') == '1'):
            say(f'done: {environment.root} is complete')
    return environment


def main(arguments: list[str]) -> int:
    """Sets up, then becomes the program after `--then`, if any.

    Args:
        arguments: Command line without the program's name.

    Returns:
        Exit status.
    """
    if arguments and arguments[0] != '--then':
        print(__doc__)
        return 0 if arguments[0] in ('-h', '--help') else 2
    # A closed terminal or a cancelled job ends it as Ctrl-C does, with the compilers it started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    try:
        environment = set_up()
    except SetupError as error:
        print(f'[setup] stopped: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\n[setup] interrupted; the same command goes on from here', file=sys.stderr)
        return 130
    if arguments[1:]:
        bin_folder = os.fspath(environment.python.parent)
        os.environ['PATH'] = os.pathsep.join([bin_folder, os.environ.get('PATH', '')])
        sys.stdout.flush()
        os.execv(environment.python, [os.fspath(environment.python), *arguments[1:]])
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
