"""Reads frames in a thread while others are worked on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, Full, Queue
from types import TracebackType
from typing import Any, Generic, TypeVar

In = TypeVar('In')
Out = TypeVar('Out')

# Seconds between two looks at whether the other side is still there.
_PATIENCE = 0.1


class ReadAhead(Generic[In, Out]):
    """Iterates over ``items`` in a thread, at most ``depth`` results ahead of who reads.

    Order and errors are those of a plain loop: what came before an error is handed over first, then
    the error is raised. ``items`` belongs to the thread from the first item to the last, also its
    ``close()`` where it has one (a generator cannot be closed while another thread runs it).

    Args:
        items: What the thread iterates over.
        depth: Results that may wait, at least 1. One more is in the making.
        prepare: Called on each item in the thread, such as resizing.

    Raises:
        ValueError: If ``depth`` is not positive.

    Examples:
        >>> with ReadAhead(frames, depth=4) as ahead:
        ...     for frame in ahead:
        ...         show(frame)
    """

    def __init__(
        self,
        items: Iterable[In],
        depth: int,
        prepare: Callable[[In], Out] | None = None,
    ) -> None:
        if depth < 1:
            raise ValueError(f'depth must be at least 1 to read ahead, got {depth}')
        self._items = items
        self._prepare = prepare
        self._queue: Queue[tuple[bool, Any]] = Queue(depth)  # (whether it goes on, item or error)
        self._stop = threading.Event()
        # A source that never answers must not keep the program from ending.
        self._thread = threading.Thread(target=self._read, name='mmdevis-read', daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the thread still holds the source."""
        return self._thread.is_alive()

    def close(self, timeout: float = 5.0) -> bool:
        """Stop reading and wait for the thread.

        Args:
            timeout: Seconds to wait for a source that is in the middle of a frame. Later the thread
                ends, and lets go of the source, as soon as the source answers.

        Returns:
            Whether the thread has ended.
        """
        self._stop.set()
        self._thread.join(timeout)
        return not self.running

    def __iter__(self) -> Iterator[Out]:
        while True:
            try:
                goes_on, value = self._queue.get(timeout=_PATIENCE)
            except Empty:
                if self._stop.is_set():
                    return
                continue
            if goes_on:
                yield value
            elif value is None:
                return
            else:
                raise value

    def __enter__(self) -> ReadAhead[In, Out]:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> None:
        error: BaseException | None = None
        iterator: Iterator[In] | None = None
        try:
            iterator = iter(self._items)
            for item in iterator:
                result = item if self._prepare is None else self._prepare(item)
                if not self._put((True, result)):
                    break
        except BaseException as caught:  # raised where the items are read
            error = caught
        try:
            if hasattr(iterator, 'close'):
                iterator.close()
        except BaseException as caught:
            error = error or caught
        self._put((False, error))

    def _put(self, entry: tuple[bool, Any]) -> bool:
        """Hand over an entry; False when nobody wants it any more."""
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=_PATIENCE)
                return True
            except Full:
                continue
        return False
