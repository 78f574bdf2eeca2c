"""Reads and writes small files."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from .pending_file import whole_file


def read_json(path: Path) -> Any:
    """Reads a json file, or the only json file inside a zip file.

    Args:
        path: The file.

    Returns:
        What the file holds.

    Raises:
        ValueError: The file is not json, or the zip file does not hold exactly one json file.
        OSError: The file cannot be read.
    """
    try:
        if path.suffix == '.zip':
            with zipfile.ZipFile(path) as archive:
                names = [n for n in archive.namelist() if n.endswith('.json')]
                if len(names) != 1:
                    raise ValueError(f'expected one json file inside, found {names}')
                return json.loads(archive.read(names[0]))
        return json.loads(path.read_text())
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path} cannot be read: {error}') from error


def write_text(path: Path, text: str) -> None:
    """Writes a file that is complete or not there; makes its folder.

    Args:
        path: The file.
        text: What it shall hold.
    """
    with whole_file(path) as temporary:
        temporary.write_text(text)
