"""Time and memory, measured so that two figures can be compared.

What is compared takes turns within each round, so that whatever else loads the machine hits all of
it alike; times are medians over the rounds, ratios medians of the ratios within a round.
"""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from mmdevis.utils.files import write_text

__all__ = [
    'environment',
    'median_ratio',
    'peak_bytes',
    'saved_bytes',
    'time_call',
    'time_in_turns',
    'worker_output',
    'write_json',
]

Name = TypeVar('Name', bound=Hashable)


def time_call(call: Callable[[], object], device: str = 'cpu') -> float:
    """Seconds of one call; on a GPU, until everything it started is done.

    Args:
        call: What is measured.
        device: As ``torch.device``.
    """
    on_gpu = torch.device(device).type == 'cuda'
    if on_gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def time_in_turns(
    calls: Mapping[Name, Callable[[], object]],
    rounds: int,
    device: str = 'cpu',
    warm_up: int = 1,
) -> dict[Name, list[float]]:
    """Seconds of each call in each round.

    Args:
        calls: What is compared, by name.
        rounds: Rounds that count, at least 1.
        device: As ``torch.device``.
        warm_up: Rounds before, which do not count.

    Returns:
        ``rounds`` times for each name; those of one place are of one round.
    """
    times: dict[Name, list[float]] = {name: [] for name in calls}
    for number in range(-warm_up, rounds):
        for name, call in calls.items():
            elapsed = time_call(call, device)
            if number >= 0:
                times[name].append(elapsed)
        print(f'round {max(number + 1, 0)}/{rounds}', end='\r', file=sys.stderr, flush=True)
    return times


def median_ratio(times: Sequence[float], base: Sequence[float]) -> float:
    """Median over the rounds of ``times / base``: how many times as long as the base."""
    return statistics.median(own / other for own, other in zip(times, base))


def peak_bytes(call: Callable[[], object], device: str = 'cpu') -> int:
    """How far memory rises above what is held before a call.

    On a CPU it is the memory of the whole process, which must be a fresh one (see
    :func:`worker_output`): memory that earlier calls gave back to the allocator does not count.

    Args:
        call: What is measured.
        device: As ``torch.device``.

    Raises:
        RuntimeError: On a CPU without Linux's ``/proc``.
    """
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    try:
        Path('/proc/self/clear_refs').write_text('5')  # resets the peak
    except OSError as error:
        raise RuntimeError(f'memory is measured on Linux only ({error})') from error
    before = _status_bytes('VmRSS')
    call()
    return _status_bytes('VmHWM') - before


def saved_bytes(call: Callable[[], object], given: Iterable[Tensor]) -> int:
    """What a forward pass keeps for its backward pass beyond the tensors that it was given.

    Counts whole storages, each once, and is the same on every device.

    Args:
        call: Forward pass with gradients.
        given: Tensors that live anyway: inputs and parameters.
    """
    kept = {}
    known = {tensor.untyped_storage().data_ptr() for tensor in given}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _result = call()  # holds the graph, so that no storage's address is given to another one
    return sum(kept.values())


def _status_bytes(key: str) -> int:
    found = re.search(rf'{key}:\s+(\d+) kB', Path('/proc/self/status').read_text())
    if found is None:
        raise RuntimeError(f'/proc/self/status has no {key}: memory is measured on Linux only')
    return int(found[1]) * 1024


def worker_output(arguments: Sequence[str]) -> str | None:
    """Run a script in a fresh process that gives freed memory back at once.

    Args:
        arguments: Script and its arguments.

    Returns:
        The last line that it printed; None, and a line on stderr, when it failed.
    """
    # Every larger block becomes a mapping of its own, which leaves the process when it is freed.
    variables = {**os.environ, 'MALLOC_MMAP_THRESHOLD_': '65536'}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    if done.returncode == 0:
        return done.stdout.splitlines()[-1]
    last = (done.stderr.strip().splitlines() or [f'status {done.returncode}'])[-1]
    print(f'{" ".join(command)} failed: {last}', file=sys.stderr)
    return None


def environment(device: str = 'cpu') -> dict:
    """What figures depend on: command, versions, processor, threads, load."""
    processor = platform.processor()
    if Path('/proc/cpuinfo').exists():
        found = re.search(r'model name\s*:\s*(.*)', Path('/proc/cpuinfo').read_text())
        processor = found[1] if found else processor
    on_gpu = torch.device(device).type == 'cuda'
    return {
        'command': ' '.join(sys.argv),
        'torch': torch.__version__,
        'processor': processor,
        'cores': os.cpu_count(),
        'threads': torch.get_num_threads(),
        'gpu': torch.cuda.get_device_name() if on_gpu else None,
        'load_average': os.getloadavg(),
    }


def write_json(path: Path, content: object) -> None:
    """Write a file as a whole or not at all.

    Args:
        path: Where to; missing folders are made.
        content: What ``json`` can write.
    """
    write_text(path, json.dumps(content, indent=1))
