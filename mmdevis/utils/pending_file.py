"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def temporary_beside(path: Path) -> Path:
    """The hidden name that a file is written under: same folder, same ending.

    The ending stays because encoders choose the format by it.
    """
    return path.with_name(f'.{path.stem}.{os.getpid()}.tmp{path.suffix}')


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file that is complete or not there; an older one is replaced.

    Args:
        path: The file. Its folder is made if needed.

    Yields:
        Where to write. It gets the file's name when the block ends, and is removed when it raises.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class PendingFile:
    """The name that a file will get, and the temporary one that it is written under.

    For writers that live longer than one block; see :func:`whole_file` for the others. A process
    that is killed leaves at most the hidden file.

    Args:
        path: The file. Its folder is made if needed.
        force: Whether a file that is there already may be replaced.

    Raises:
        FileExistsError: The file exists and `force` is not set.
        IsADirectoryError: There is a folder of this name.

    Attributes:
        path (Path): The final name.
        temporary (Path): Where to write.
    """

    def __init__(self, path: str | os.PathLike, force: bool = False) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise IsADirectoryError(f'{self.path} is a folder; give the name of a file')
        if self.path.exists() and not force:
            raise FileExistsError(
                f'{self.path} exists already; choose another name, remove it, or set force=True '
                '(--force) to replace it'
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.temporary = temporary_beside(self.path)

    def commit(self) -> None:
        """Gives the file its name.

        Raises:
            OSError: Nothing was written.
        """
        if not self.temporary.is_file() or self.temporary.stat().st_size == 0:
            raise OSError(f'{self.path}: nothing was written; is the disk full?')
        os.replace(self.temporary, self.path)

    def discard(self) -> None:
        """Removes what was written and not committed."""
        self.temporary.unlink(missing_ok=True)
