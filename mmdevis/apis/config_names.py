"""Configs by name."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import mmdevis


def config_folder() -> Path | None:
    """The project's `configs` folder, None where only the package is installed."""
    package = Path(mmdevis.__file__).resolve().parent
    # Beside the package in a checkout; MIM puts it inside.
    for folder in (package.parent / 'configs', package / '.mim' / 'configs'):
        if (folder / 'devis').is_dir():
            return folder
    return None


def find_config(name: str | os.PathLike) -> Path:
    """Find a config by path, or by name among the project's own.

    Args:
        name: Path of a config file, or a name such as `'devis_r50_4xb1-9e_youtubevis2019'`, with or
            without `.py` and the folders that it is in.

    Returns:
        Path of the file.

    Raises:
        FileNotFoundError: There is no such file and no config of this name, or several. The message
            has names that look alike.
    """
    path = Path(name)
    if path.is_file():
        return path
    if (folder := config_folder()) is None:
        raise FileNotFoundError(
            f'{name}: there is no such config file. Configs are found by name only beside a '
            f'checkout of the project, and mmdevis is installed without one, in '
            f'{Path(mmdevis.__file__).parent}. Give the path of a config file, or clone the '
            'project and install it from there with `pip install --no-deps -e .`'
        )
    wanted = path if path.suffix == '.py' else path.parent / f'{path.name}.py'
    found, names = [], []
    for file in sorted(folder.rglob('*.py')):
        if '_base_' in file.parts:
            continue
        names.append(file.stem)
        if not path.is_absolute() and file.parts[-len(wanted.parts) :] == wanted.parts:
            found.append(file)
    if len(found) == 1:
        return found[0]
    if found:
        places = ', '.join(str(file.relative_to(folder)) for file in found)
        raise FileNotFoundError(f'{name}: several configs have this name, give one of {places}')
    alike = difflib.get_close_matches(wanted.stem, names, n=3, cutoff=0.5)
    hint = f'; did you mean {" or ".join(alike)}?' if alike else ''
    raise FileNotFoundError(
        f'{name}: there is no such config file, and no config of this name in {folder}{hint}'
    )
