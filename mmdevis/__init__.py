"""mmdevis: DeVIS for MMDetection 3.x.

Importing this package registers its models, data sets, transforms, metrics, hooks, trackers and
visualizers in MMDetection's registries, so a config only needs
`custom_imports = dict(imports=['mmdevis'], allow_failed_imports=False)`.

Raises:
    ImportError: On import, when torch, mmengine, mmcv (with compiled operators) or mmdet is missing
        or of a version that cannot work; the message says what to install.
"""

import sys

from .version import __version__

__all__ = ['__version__']


def _is_environment_report() -> bool:
    # `python -m mmdevis.utils.env` imports this package first. The report is most needed where the
    # checks below fail, and says itself what is missing.
    return any(
        flag == '-m' and module == 'mmdevis.utils.env'
        for flag, module in zip(sys.orig_argv, sys.orig_argv[1:])
    )


def _register_all() -> None:
    from .utils.safe_globals import register_safe_globals
    from .utils.versions import check_frameworks, check_operators

    check_frameworks()
    check_operators()
    register_safe_globals()

    from . import (  # noqa: F401
        datasets,
        engine,
        evaluation,
        models,
        ops,
        structures,
        visualization,
    )


if not _is_environment_report():
    _register_all()
