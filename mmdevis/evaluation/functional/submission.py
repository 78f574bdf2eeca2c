"""Writes results as the evaluation servers of YouTube-VIS and OVIS want them."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

from mmdevis.utils.pending_file import whole_file


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
    json_path = prefix.with_name(prefix.name + '.json')
    zip_path = prefix.with_name(prefix.name + '.submission_file.zip')

    with whole_file(json_path) as path, path.open('w') as file:
        file.write('[')
        for number, result in enumerate(results):
            # One track at a time: the text of a whole set can be larger than its masks.
            file.write((',\n' if number else '') + json.dumps(result))
        file.write(']\n')
    with whole_file(zip_path) as path, zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.write(json_path, 'results.json')
    return [json_path, zip_path]
