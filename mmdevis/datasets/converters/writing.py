"""Writing result files without ever leaving half of one behind."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_json(data: Any, path: str | os.PathLike) -> None:
    """Write json to a temporary file beside `path`, then rename it.

    Args:
        data (Any): What to write.
        path (str | os.PathLike): File to write; its folder is created.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix='.tmp')
    try:
        with os.fdopen(handle, 'w') as file:
            json.dump(data, file)
        # mkstemp makes files for the owner alone; a data set is usually shared.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
