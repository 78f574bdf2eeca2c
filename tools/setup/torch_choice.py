"""Which torch to install: CPU or CUDA build, which version, from where."""

from __future__ import annotations

import re
import shutil
import subprocess
import urllib.error
import urllib.request

from console import SetupError, say
from environment import Environment

# The version that everything here was last tested with.
DEFAULT_TORCH = '2.13.0'
WHEEL_INDEX = 'https://download.pytorch.org/whl'


def has_gpu(device: str = '') -> bool:
    """Says whether to set up for an NVIDIA GPU.

    Args:
        device: `cpu` or `cuda` decide; empty asks the driver.

    Returns:
        True for a GPU set-up.

    Raises:
        SetupError: On another word.
    """
    if device not in ('', 'cpu', 'cuda'):
        raise SetupError(f'DEVICE={device}: expected cpu or cuda (or nothing, to detect it)')
    if device:
        return device == 'cuda'
    if not shutil.which('nvidia-smi'):
        return False
    try:
        listed = subprocess.run(
            ['nvidia-smi', '-L'],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and 'GPU' in listed.stdout


def requirement(choice: str) -> tuple[str, str | None]:
    """Turns a choice of torch into what pip takes.

    Args:
        choice: Empty for the default, a version (`2.6.0`, `2.6.0+cu124`), a range (`>=2.5,<2.7`), a
            requirement (`torch==2.6.0`), or a path or address of a wheel.

    Returns:
        The requirement, and the build it asks for (`cpu`, `cu124`, ...), None when it names none.
    """
    choice = choice.strip()
    if choice.endswith('.whl') or '://' in choice or choice.startswith(('torch', '/', './')):
        wanted = choice
    elif not choice:
        wanted = f'torch=={DEFAULT_TORCH}'
    elif choice[0].isdigit():
        wanted = f'torch=={choice}'
    else:
        wanted = f'torch{choice}'
    build = re.search(r'^torch==[\d.]+\+(\w+)$', wanted)
    return wanted, build.group(1) if build else None


def reachable(index: str, timeout: float = 10.0) -> bool:
    """Says whether a package index answers; asked once, as pip would retry for every package."""
    try:
        with urllib.request.urlopen(f'{index}/torch/', timeout=timeout):
            return True
    except (urllib.error.URLError, OSError, ValueError):
        return False


def install(environment: Environment, choice: str, gpu: bool) -> None:
    """Installs torch.

    The CPU build comes from torch's own index; where that cannot be reached, from pip's default
    index, whose Linux builds carry CUDA (larger, and just as good on a CPU).

    Args:
        environment: Where to.
        choice: As for `requirement`.
        gpu: Whether there is a GPU to use.

    Raises:
        SetupError: When it cannot be installed.
    """
    wanted, build = requirement(choice)
    if build is None and not gpu and '://' not in wanted and not wanted.endswith('.whl'):
        build = 'cpu'
    arguments = ['install', '--progress-bar', 'on', wanted]
    if build is not None:
        index = f'{WHEEL_INDEX}/{build}'
        if reachable(index):
            arguments += ['--index-url', index]
        else:
            say(f"torch's own index of {build} builds cannot be reached: using pip's default index")
    say(f'installing {wanted} ({"for GPU" if gpu else "CPU"}, about 30 s on a fast line)')
    hint = (
        'TORCH= chooses another version (such as TORCH=2.6.0), or activate an environment that has '
        'torch >= 2.4.'
    )
    try:
        environment.pip(*arguments, what=f'installing {wanted}')
    except SetupError as error:
        raise SetupError(f'{error}\n{hint}') from None
