"""File backend that never leaves a half-written file."""

from __future__ import annotations

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from mmdevis.utils.pending_file import whole_file


class AtomicLocalBackend(LocalBackend):
    """The local disk, but a file appears under its name only when it is complete.

    MMEngine writes checkpoints in place: a kill at that moment leaves a file that cannot be read.
    Use it as `default_hooks = dict(checkpoint=dict(backend_args=dict(backend='atomic_local')))`.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Writes bytes.

        Args:
            obj: What to write.
            filepath: Where to; missing folders are made.

        Raises:
            OSError: When it cannot be written; names the file.
        """
        try:
            # Not synchronised with the disk: this guards against a kill, not against a power cut.
            with whole_file(filepath) as temporary:
                temporary.write_bytes(obj)
        except OSError as error:
            # Of a full disk the system says neither which file nor that the old one is whole.
            why = f'{error.strerror or error}; what was there before is untouched'
            raise type(error)(error.errno, why, str(filepath)) from error

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Writes text, as `put` does bytes."""
        self.put(obj.encode(encoding), filepath)


register_backend('atomic_local', AtomicLocalBackend, force=True)
