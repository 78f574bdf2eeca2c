"""Which framework packages are installed, and whether mmdevis can work with them.

Two brands exist of the same three frameworks, importing under the same names: OpenMMLab's own
`mmcv`, `mmengine`, `mmdet`, and their maintained continuations `onedl-mmcv`, `onedl-mmengine`,
`onedl-mmdetection`. Everything here reads package metadata first and imports as little as possible:
importing `mmdet` beside a wrong `mmcv` fails with an assertion that names neither a command nor the
other brand.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from dataclasses import dataclass
from importlib import metadata

ONEDL = 'onedl'
OPENMMLAB = 'openmmlab'

#: What to install, per brand: also the versions the set-up script takes.
PINNED = {
    ONEDL: {'mmengine': '0.10.12', 'mmcv': '2.3.6', 'mmdet': '3.5.1'},
    OPENMMLAB: {'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmdet': '3.3.0'},
}

#: Distribution names, per brand and import name.
DISTRIBUTIONS = {
    ONEDL: {'mmengine': 'onedl-mmengine', 'mmcv': 'onedl-mmcv', 'mmdet': 'onedl-mmdetection'},
    OPENMMLAB: {'mmengine': 'mmengine', 'mmcv': 'mmcv', 'mmdet': 'mmdet'},
}

#: Accepted versions, lower bound inclusive, upper bound exclusive.
ACCEPTED = {
    'torch': ('2.4', None),
    'mmengine': ('0.10.0', '1.0.0'),
    'mmcv': ('2.1.0', '2.4.0'),
    'mmdet': ('3.2.0', '4.0.0'),
}


@dataclass(frozen=True)
class Installed:
    """One installed framework package.

    Attributes:
        name: Import name, such as `mmcv`.
        version: Version string, or None when the package is not installed.
        brand: `onedl`, `openmmlab`, or None when it cannot be told (no metadata) or does not apply
            (torch).
        distribution: Name that `pip` knows, or None.
    """

    name: str
    version: str | None
    brand: str | None = None
    distribution: str | None = None


def _distribution_version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def find_installed(name: str) -> Installed:
    """Finds version and brand of a framework package.

    Args:
        name: Import name: `torch`, `mmengine`, `mmcv` or `mmdet`.

    Returns:
        What is installed; `version` is None when it is missing.
    """
    if name == 'torch':
        return Installed(name, _distribution_version('torch'), None, 'torch')
    for brand in (ONEDL, OPENMMLAB):
        distribution = DISTRIBUTIONS[brand][name]
        version = _distribution_version(distribution)
        if version is not None:
            return Installed(name, version, brand, distribution)
    if name == 'mmcv' and (version := _distribution_version('mmcv-lite')) is not None:
        return Installed(name, version, OPENMMLAB, 'mmcv-lite')
    # A source checkout on PYTHONPATH has no metadata, but can be asked.
    try:
        module = importlib.import_module(name)
    except Exception:  # whatever a broken package raises, here it only means "not usable"
        return Installed(name, None)
    return Installed(name, getattr(module, '__version__', None))


def parse_version(version: str) -> tuple[int, ...]:
    """Parses the numeric beginning of a version.

    Args:
        version: Such as `2.13.0+cpu` or `0.10.8rc1` (a pre-release counts as its release).

    Returns:
        Such as `(2, 13, 0)`, padded to three numbers.
    """
    match = re.match(r'\d+(?:\.\d+)*', version)
    numbers = tuple(int(part) for part in match.group().split('.')) if match else ()
    return numbers + (0,) * (3 - len(numbers))


def is_accepted(name: str, version: str) -> bool:
    """Says whether mmdevis works with a version of a framework package.

    Args:
        name: Import name, a key of `ACCEPTED`.
        version: Version string.

    Returns:
        True when it lies within the accepted range.
    """
    low, high = ACCEPTED[name]
    parsed = parse_version(version)
    return parse_version(low) <= parsed and (high is None or parsed < parse_version(high))


def install_command(brand: str, names: tuple[str, ...] = ('mmengine', 'mmcv', 'mmdet')) -> str:
    """Writes the pip command that installs framework packages.

    Args:
        brand: `onedl` or `openmmlab`.
        names: Import names of what to install.

    Returns:
        A command line. Build isolation is off because mmcv compiles against the torch that is
        there.
    """
    requirements = [f'{DISTRIBUTIONS[brand][name]}=={PINNED[brand][name]}' for name in names]
    return 'MMCV_WITH_OPS=1 pip install --no-build-isolation ' + ' '.join(requirements)


def _both_commands() -> str:
    return (
        f'  {install_command(ONEDL)}\n'
        f'or, with the original OpenMMLab packages,\n  {install_command(OPENMMLAB)}\n'
        'but not both: they import under the same names. (`make setup` in the mmdevis folder does '
        'all of this; docs/install.md explains the messages that can come up.)'
    )


def check_frameworks() -> dict[str, Installed]:
    """Checks that the frameworks are there, in versions that mmdevis and each other accept.

    Returns:
        What was found, by import name.

    Raises:
        ImportError: Naming every package that is missing or of a wrong version, both brands, and
            the commands.
    """
    found = {name: find_installed(name) for name in ACCEPTED}
    problems = []
    for name, package in found.items():
        low, high = ACCEPTED[name]
        wanted = f'>= {low}' + (f' and < {high}' if high else '')
        if package.version is None:
            problems.append(f'{name} is not installed (needed: {wanted})')
        elif not is_accepted(name, package.version):
            problems.append(
                f'{package.distribution or name} {package.version} is installed, needed is {wanted}'
            )
    problems += _brand_problems(found)
    if problems:
        torch_hint = (
            ''
            if found['torch'].version
            else 'First torch, for a machine without GPU:\n  pip install torch '
            '--index-url https://download.pytorch.org/whl/cpu\nThen the frameworks:\n'
        )
        raise ImportError(
            'mmdevis cannot use the installed frameworks:\n'
            + ''.join(f'  - {problem}\n' for problem in problems)
            + f'To install them:\n{torch_hint}{_both_commands()}'
        )
    return found


def _brand_problems(found: dict[str, Installed]) -> list[str]:
    problems = []
    for name in ('mmengine', 'mmcv', 'mmdet'):
        both = [
            f'{dist[name]} {version}'
            for dist in DISTRIBUTIONS.values()
            if (version := _distribution_version(dist[name])) is not None
        ]
        if len(both) > 1:
            problems.append(
                f'{" and ".join(both)} are both installed and overwrite each other as `{name}`: '
                'uninstall both, then install one'
            )
    # OpenMMLab's mmengine imports pkg_resources as soon as a config inherits from another package.
    if found['mmengine'].brand == OPENMMLAB and importlib.util.find_spec('pkg_resources') is None:
        problems.append(
            f'mmengine {found["mmengine"].version} needs pkg_resources, which setuptools lacks '
            'since version 82: pip install "setuptools<81"'
        )
    mmcv, mmdet = found['mmcv'], found['mmdet']
    if mmcv.distribution == 'mmcv-lite':
        problems.append('mmcv-lite has no compiled operators: uninstall it and install mmcv')
    # MMDetection 3.2 and 3.3 themselves refuse mmcv 2.2 and later, with a bare assertion.
    if (
        mmdet.brand == OPENMMLAB
        and mmdet.version
        and mmcv.version
        and parse_version(mmdet.version) < (3, 4)
        and parse_version(mmcv.version) >= (2, 2)
    ):
        problems.append(
            f'mmdet {mmdet.version} refuses {mmcv.distribution} {mmcv.version} (it accepts '
            'mmcv < 2.2.0): take all three packages from one brand'
        )
    return problems


def check_operators() -> None:
    """Checks that mmcv's compiled operators can be loaded.

    Raises:
        ImportError: Saying why they cannot (built without them, built for another torch) and what
            to do.
    """
    try:
        importlib.import_module('mmcv._ext')
        return
    except ImportError as error:
        reason = error
    mmcv = find_installed('mmcv')
    brand = mmcv.brand or ONEDL
    torch = find_installed('torch')
    if isinstance(reason, ModuleNotFoundError) and reason.name == 'mmcv._ext':
        why = 'it was built without them (MMCV_WITH_OPS was not 1, or no compiler was found)'
    elif 'undefined symbol' in str(reason):
        why = f'they were built for another torch than the installed {torch.version}'
    else:
        why = 'loading them failed'
    rebuild = (
        'MMCV_WITH_OPS=1 CFLAGS=-g0 pip install --no-build-isolation --no-deps '
        '--force-reinstall --no-cache-dir '
        f'{DISTRIBUTIONS[brand]["mmcv"]}=={PINNED[brand]["mmcv"]}'
    )
    raise ImportError(
        f'{mmcv.distribution or "mmcv"} {mmcv.version} cannot load its compiled operators: {why}.\n'
        f'  cause: {reason}\nMMDetection and mmdevis need them. Build them for this torch (10 to '
        f'20 minutes on 2 cores, needs g++ and Python.h):\n  {rebuild}\n'
        'or run `make setup` in the mmdevis folder.'
    ) from reason
