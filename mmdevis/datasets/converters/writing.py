"""Writing result files without ever leaving half of one behind."""

import json
import os
from typing import Any

from mmdevis.utils.pending_file import whole_file


def write_json(data: Any, path: str | os.PathLike) -> None:
    """Write json that is complete or not there.

    Args:
        data (Any): What to write.
        path (str | os.PathLike): File to write; its folder is created.
    """
    with whole_file(path) as temporary, temporary.open('w') as file:
        json.dump(data, file)
