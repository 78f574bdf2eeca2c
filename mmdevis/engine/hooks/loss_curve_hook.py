"""Picture of the loss curve at the end of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook

from mmdevis.visualization.curves import draw_loss_curve, read_scalars


@HOOKS.register_module()
class LossCurveHook(Hook):
    """Writes `loss_curve.png` into the work folder when training ends.

    Args:
        filename: Name of the picture.
        names: Losses to draw, see `draw_loss_curve`.
    """

    priority = 'LOWEST'

    def __init__(
        self, filename: str = 'loss_curve.png', names: Sequence[str] | None = None
    ) -> None:
        self.filename = filename
        self.names = names

    @master_only
    def after_train(self, runner: Any) -> None:
        """Draws the curve of this run, after those that it resumed."""
        current = Path(runner.log_dir)
        earlier = sorted(Path(runner.work_dir).glob('*/vis_data/scalars.json'))
        # Runs of the same folder that this one did not resume are not part of its curve.
        paths = [p for p in earlier if runner._resume or p.parents[1] == current]
        scalars = read_scalars(paths)
        if not scalars:
            runner.logger.warning('No loss was logged, so there is no curve to draw.')
            return
        target = Path(runner.work_dir) / self.filename
        draw_loss_curve(scalars, target, self.names)
        runner.logger.info(f'Loss curve: {target}')
