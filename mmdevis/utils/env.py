"""Environment report: `python -m mmdevis.utils.env`.

Prints what a bug report needs: versions, the brand of the frameworks, whether mmcv's compiled
operators load, the GPU, and which implementation of temporal deformable attention will run. Works
also where something is missing, and then says what.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from mmdevis.utils.versions import ACCEPTED, check_frameworks, check_operators, find_installed
from mmdevis.version import __version__


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _tolerant(look: Callable[[], str]) -> str:
    # A report that stops at the first broken package would hide the rest.
    try:
        return look()
    except Exception as error:
        return f'not available ({_first_line(error)})'


def _framework(name: str) -> str:
    package = find_installed(name)
    if package.version is None:
        return 'not installed'
    if name == 'torch':
        # The metadata does not always say which build it is, the package does.
        return str(importlib.import_module('torch').__version__)
    return f'{package.version} ({package.distribution or "from source, brand unknown"})'


def _operators() -> str:
    check_operators()
    ops = importlib.import_module('mmcv.ops')
    return f'compiled with {ops.get_compiler_version()}, CUDA {ops.get_compiling_cuda_version()}'


def _devices() -> str:
    import torch

    if not torch.cuda.is_available():
        return 'none'
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 1024**3
        found.append(
            f'{properties.name} ({memory:.0f} GiB, sm_{properties.major}{properties.minor})'
        )
    return f'{", ".join(found)}; torch CUDA {torch.version.cuda}'


def _attention(device_type: str) -> str:
    ops = importlib.import_module('mmdevis.ops')
    return str(ops.resolve_backend(device_type))


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        model = next(line.split(':', 1)[1].strip() for line in lines if 'model name' in line)
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return f'{model}, {cores} cores'


def _gpu_there() -> bool:
    import torch

    return torch.cuda.is_available()


def collect() -> dict[str, str]:
    """Collects the report.

    Returns:
        Texts by title, in order. Never raises because of a missing or broken package.
    """
    report = {
        'mmdevis': f'{__version__} ({Path(__file__).resolve().parents[1]})',
        'Python': f'{platform.python_version()} ({sys.executable})',
        'system': f'{platform.system()} {platform.release()} {platform.machine()}',
        'processor': _processor(),
    }
    for name in ACCEPTED:
        report[name] = _tolerant(lambda name=name: _framework(name))
    for name in ('numpy', 'cv2'):
        report[name] = _tolerant(lambda name=name: str(importlib.import_module(name).__version__))
    report['mmcv operators'] = _tolerant(_operators)
    report['GPU'] = _tolerant(_devices)
    device_types = ['cpu'] + (['cuda'] if _tolerant(lambda: str(_gpu_there())) == 'True' else [])
    for device_type in device_types:
        report[f'attention on {device_type}'] = _tolerant(
            lambda device_type=device_type: _attention(device_type)
        )
    try:
        check_frameworks()
        check_operators()
        report['usable'] = 'yes'
    except ImportError as error:
        report['usable'] = f'no: {error}'
    return report


def main() -> int:
    """Prints the report.

    Returns:
        Exit status: 0 when mmdevis can be used here, else 1.
    """
    report = collect()
    width = max(map(len, report))
    for title, text in report.items():
        print(f'{title:<{width}}  {text}')
    return 0 if report['usable'] == 'yes' else 1


if __name__ == '__main__':
    sys.exit(main())
