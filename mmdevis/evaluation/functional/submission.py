"""Writes results as the evaluation servers of YouTube-VIS and OVIS want them."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path


def _replace_with(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a temporary file beside `path`, then puts it in its place."""
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_submission(results: Sequence[dict], outfile_prefix: str | os.PathLike) -> list[Path]:
    """Writes `<prefix>.json` and `<prefix>.submission_file.zip`, which holds it as `results.json`.

    Both are complete or not there at all: they are written under a temporary name first.

    Args:
        results: Predicted tracks in YouTube-VIS format (`video_id`, `category_id`, `score`,
            `segmentations` with RLE `counts` as str).
        outfile_prefix: Path without extension; its folder is made if needed.

    Returns:
        Paths of the json and of the zip file.

    Raises:
        TypeError: A result holds something that json cannot.
        OSError: The folder cannot be written.
    """
    prefix = Path(outfile_prefix).absolute()
    prefix.parent.mkdir(parents=True, exist_ok=True)
    json_path = prefix.with_name(prefix.name + '.json')
    zip_path = prefix.with_name(prefix.name + '.submission_file.zip')

    def write_json(path: Path) -> None:
        with path.open('w') as file:
            file.write('[')
            for number, result in enumerate(results):
                # One track at a time: the text of a whole set can be larger than its masks.
                file.write((',\n' if number else '') + json.dumps(result))
            file.write(']\n')

    def write_zip(path: Path) -> None:
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.write(json_path, 'results.json')

    _replace_with(json_path, write_json)
    _replace_with(zip_path, write_zip)
    return [json_path, zip_path]
