"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import os
from pathlib import Path


class PendingFile:
    """The name that a file will get, and the temporary one that it is written under.

    The temporary name is hidden, in the same folder, and ends like the final one, because some
    encoders choose the format by it. A process that is killed leaves at most this hidden file.

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
        self.temporary = self.path.with_name(
            f'.{self.path.stem}.{os.getpid()}.tmp{self.path.suffix}'
        )

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
