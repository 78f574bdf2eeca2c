"""Logger whose file of test results is written by one process."""

from mmdet.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import LoggerHook
from mmengine.runner import Runner


@HOOKS.register_module()
class MainProcessLoggerHook(LoggerHook):
    """MMEngine's logger, for tests in several processes.

    After a test MMEngine lets all processes write the metrics to one file, in place and at the same
    time, which now and then leaves a file that is no json.

    Args:
        *args: As of :class:`mmengine.hooks.LoggerHook`.
        **kwargs: Likewise.
    """

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log the metrics and write them to the folder of the run.

        Args:
            runner: The runner.
            metrics: Metrics by name.
        """
        super().after_test_epoch(runner, metrics)
