"""The Python environment that set-up works in, and what is known to be finished in it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from console import SetupError, run, say

STATE_FILE = '.mmdevis-setup.json'
OLDEST_PYTHON = (3, 10)

_ASK_VERSIONS = """
import importlib.metadata as m, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = m.version(name)
    except m.PackageNotFoundError:
        found[name] = None
print(json.dumps(found))
"""


class Environment:
    """A Python environment.

    Args:
        root: Its folder.
        owned: True for the project's own `.venv`, where set-up may replace things; False for an
            environment of the user's, where it only adds what is missing.
    """

    def __init__(self, root: Path, owned: bool) -> None:
        self.root = root
        self.owned = owned
        self.python = root / 'bin' / 'python'

    def works(self) -> bool:
        """Says whether the interpreter starts, is new enough and has pip."""
        check = f'import sys, pip; sys.exit(sys.version_info < {OLDEST_PYTHON})'
        try:
            return self.succeeds(check)
        except OSError:
            return False

    def succeeds(self, code: str) -> bool:
        """Says whether a piece of Python runs without error in the environment."""
        return self.failure(code) is None

    def failure(self, code: str) -> str | None:
        """Runs a piece of Python; returns the last line of its error output, None if it worked."""
        done = subprocess.run(
            [self.python, '-c', code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.root,  # not in the project's folder, whose packages would be imported
        )
        if done.returncode == 0:
            return None
        return (done.stderr.strip().splitlines() or [f'status {done.returncode}'])[-1]

    def ask(self, code: str) -> str:
        """Runs a piece of Python and returns what it printed."""
        return run([self.python, '-c', code], 'asking Python', show=False).strip()

    def versions(self, names: Iterable[str]) -> dict[str, str | None]:
        """Looks up installed packages.

        Args:
            names: Distribution names, as pip knows them.

        Returns:
            Version per name, None for what is not installed.
        """
        return json.loads(
            run([self.python, '-c', _ASK_VERSIONS, *names], 'asking for versions', show=False)
        )

    def pip(self, *arguments: str, what: str, env: dict[str, str] | None = None) -> None:
        """Runs pip with its output shown.

        Args:
            *arguments: pip's command and arguments.
            what: What it is for, for the error message.
            env: Environment variables to add.

        Raises:
            SetupError: When pip fails.
        """
        options = ['--disable-pip-version-check', '--no-input']
        bin_first = os.pathsep.join([os.fspath(self.python.parent), os.environ.get('PATH', '')])
        run(
            [self.python, '-m', 'pip', *options, *arguments],
            what,
            {'PATH': bin_first, **(env or {})},
        )

    # What is finished is written down only after it is, in one move, so that a set-up that was
    # interrupted at any point goes on with the step it was in.
    def finished(self) -> dict[str, dict]:
        """Reads which steps are finished: per step its `request` and `installed` versions."""
        try:
            return json.loads((self.root / STATE_FILE).read_text())
        except (OSError, ValueError):
            return {}

    def write_finished(self, steps: dict[str, dict]) -> None:
        """Writes which steps are finished."""
        temporary = self.root / f'{STATE_FILE}.{os.getpid()}'
        temporary.write_text(json.dumps(steps, indent=1, sort_keys=True))
        os.replace(temporary, self.root / STATE_FILE)


def active_environment() -> Environment | None:
    """Finds an active virtual or conda environment that has torch.

    Returns:
        It, or None when none is active or it has no torch (then there is nothing to keep).
    """
    for variable in ('VIRTUAL_ENV', 'CONDA_PREFIX'):
        folder = os.environ.get(variable)
        if not folder:
            continue
        environment = Environment(Path(folder), owned=False)
        if environment.python.exists() and environment.versions(['torch'])['torch']:
            return environment
    return None


def create(root: Path) -> Environment:
    """Creates a virtual environment with pip, or keeps one that works.

    Args:
        root: Its folder.

    Returns:
        The environment.

    Raises:
        SetupError: When this Python can make none, with what to install.
    """
    environment = Environment(root, owned=True)
    if environment.works():
        return environment
    if root.exists():
        say(f'{root} is incomplete or its Python is gone: making it anew')
        shutil.rmtree(root)
    say(f'creating {root} with Python {sys.version.split()[0]}')
    # Some distributions package `ensurepip` apart from Python; other tools can do its work.
    if importlib.util.find_spec('ensurepip'):
        run([sys.executable, '-m', 'venv', root], 'creating the environment')
    elif importlib.util.find_spec('virtualenv'):
        run([sys.executable, '-m', 'virtualenv', '-q', root], 'creating the environment')
    elif shutil.which('uv'):
        run(['uv', 'venv', '-q', '--seed', '--python', sys.executable, root], 'creating .venv')
    elif importlib.util.find_spec('pip'):
        run([sys.executable, '-m', 'venv', '--without-pip', root], 'creating the environment')
        command = [
            sys.executable,
            '-m',
            'pip',
            '--python',
            environment.python,
            'install',
            '-q',
            'pip',
        ]
        run(command, 'installing pip into the environment')
    if not environment.works():
        version = f'{sys.version_info.major}.{sys.version_info.minor}'
        raise SetupError(
            f'{sys.executable} cannot create a virtual environment (its `ensurepip` module is not '
            'installed). On Debian or Ubuntu:\n'
            f'    sudo apt-get install python{version}-venv\n'
            'Without root, activate a conda environment with Python >= 3.10 and torch, or put `uv` '
            'on the PATH, and start again.'
        )
    return environment
