"""Talking to the person who waits: steps, commands with their output, one-line progress."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


class SetupError(Exception):
    """Set-up cannot go on; the message says why and what to do."""


def say(text: str) -> None:
    """Prints a line of the set-up's own, at once."""
    print(f'[setup] {text}', flush=True)


def duration(seconds: float) -> str:
    """Writes a time span.

    Args:
        seconds: Length of the span.

    Returns:
        Such as `45 s`, `3 min 20 s` or `1 h 05 min`.
    """
    seconds = max(0, int(seconds + 0.5))
    if seconds < 60:
        return f'{seconds} s'
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f'{minutes} min {rest:02d} s'
    return f'{minutes // 60} h {minutes % 60:02d} min'


def run(
    command: Sequence[str | os.PathLike[str]],
    what: str,
    env: dict[str, str] | None = None,
    show: bool = True,
) -> str:
    """Runs a command without standard input, so that nothing can wait for an answer.

    Args:
        command: Program and arguments.
        what: What it is for, for the error message.
        env: Environment variables to add.
        show: Let its output through; otherwise it is returned, and printed only when it fails.

    Returns:
        Its output (empty with `show`).

    Raises:
        SetupError: When it exits with another status than 0.
    """
    done = subprocess.run(
        [os.fspath(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.STDOUT,
        text=True,
        env={**os.environ, **(env or {})},
    )
    if done.returncode:
        output = '' if show else f'\n{(done.stdout or "").strip()}'
        shown = ' '.join(os.fspath(part) for part in command)
        raise SetupError(f'{what} failed (status {done.returncode}).\n  command: {shown}{output}')
    return done.stdout or ''


def stream_lines(
    command: Sequence[str | os.PathLike[str]], log: Path, env: dict[str, str]
) -> Iterator[str]:
    """Runs a command, yields its output line by line and keeps it in a file.

    The command and its children are ended when the caller stops early (Ctrl-C): a compiler that
    goes on in the background would fight with the next run.

    Args:
        command: Program and arguments.
        log: File that receives the whole output.
        env: Environment variables to add.

    Yields:
        Lines without their ends.

    Raises:
        SetupError: When it exits with another status than 0, with the last lines of the output.
    """
    with log.open('w') as file:
        process = subprocess.Popen(
            [os.fspath(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            env={**os.environ, **env},
            start_new_session=True,
        )
        try:
            for line in process.stdout or ():
                file.write(line)
                file.flush()
                yield line.rstrip('\n')
            status = process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    if status:
        last = '\n'.join('    ' + line for line in log.read_text().splitlines()[-30:])
        raise SetupError(f'the build failed (status {status}); last lines of {log}:\n{last}')


class Progress:
    """One line with a count and an estimate of the time left.

    A terminal sees the line change in place; a log file gets a new line now and then.

    Args:
        what: What is counted, such as `compiling mmcv`.
        total: How many there are; 0 while unknown.
        interval: Seconds between two lines in a log file.
        clock: Gives the time in seconds.
    """

    def __init__(
        self,
        what: str,
        total: int = 0,
        interval: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what = what
        self.total = total
        self.interval = interval
        self.clock = clock
        self.start = clock()
        self.first: tuple[int, float] | None = None
        self.last_print = float('-inf')
        self.terminal = sys.stdout.isatty()

    def remaining(self, done: int) -> float | None:
        """Estimates the seconds left from what was done since the first report, None if unknown."""
        if self.first is None or not self.total or done <= self.first[0]:
            return None
        pace = (self.clock() - self.first[1]) / (done - self.first[0])
        return pace * (self.total - done)

    def update(self, done: int, total: int | None = None) -> None:
        """Reports how many are done (and, once known, how many there are)."""
        if total:
            self.total = total
        now = self.clock()
        if self.first is None:
            self.first = (done, now)  # what an earlier, interrupted run had done costs no time
        if not self.terminal and now - self.last_print < self.interval and done != self.total:
            return
        self.last_print = now
        left = self.remaining(done)
        text = (
            f'[setup] {self.what}: {done}/{self.total or "?"}, {duration(now - self.start)} so far'
        )
        if left is not None and done != self.total:
            text += f', about {duration(left)} left'
        print(f'\r\x1b[K{text}' if self.terminal else text, end='' if self.terminal else '\n')
        sys.stdout.flush()

    def close(self) -> None:
        """Ends the line on a terminal."""
        if self.terminal:
            print(flush=True)
