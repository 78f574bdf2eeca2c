"""Starts the training of a video model from the weights of an image model."""

from pathlib import Path

from mmdet.registry import HOOKS, MODELS
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner
from torch import nn

from mmdevis.utils.checkpoint import weights_of


@HOOKS.register_module()
class StartFromImageHook(Hook):
    """Gives the video model the paper's initialisation (appendix A).

    Whatever image checkpoint training starts from, as ``load_from`` or by this hook, is turned
    into one of the video model: see :func:`mmdevis.checkpoints.start_from_image`, which also takes
    MMDetection's Deformable DETR and the release's COCO stage. Checkpoints of the video model
    itself are left alone, and so are testing and resumed runs.

    Args:
        checkpoint: Used where the config has no ``load_from`` and the run is not resumed, provided
            that the file exists; a warning says when it does not.
        map_classes: Take over the rows of the class head whose classes have the same name. False
            starts the class head new, as the release does.
        repeat_queries: See :func:`mmdevis.checkpoints.start_from_image`.
    """

    priority = 'HIGH'

    def __init__(
        self,
        checkpoint: str | None = None,
        map_classes: bool = True,
        repeat_queries: bool = False,
    ) -> None:
        self.checkpoint = checkpoint
        self.map_classes = map_classes
        self.repeat_queries = repeat_queries
        self._loaded = False

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Replace an image model's weights by those of a video model to start from.

        Args:
            runner: The runner.
            checkpoint: What was read; its ``state_dict`` is replaced.
        """
        from mmdevis.checkpoints import lacks_video_parts, start_from_image

        self._loaded = True
        model = _whole_model(runner)
        weights = weights_of(checkpoint.get('model', checkpoint))
        training = isinstance(getattr(runner, '_train_loop', None), BaseLoop)
        if not training or runner.cfg.get('resume') or not lacks_video_parts(weights, model):
            return
        trained = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
        wanted = runner.train_dataloader.dataset.metainfo.get('classes')
        checkpoint['state_dict'], report = start_from_image(
            model,
            weights,
            trained.get('classes'),
            wanted if self.map_classes else None,
            repeat_queries=self.repeat_queries,
        )
        print_log(f'Started from an image model:\n{report.describe()}', logger='current')

    def before_train(self, runner: Runner) -> None:
        """Load the hook's own checkpoint when nothing else was loaded."""
        if self._loaded or self.checkpoint is None:
            return
        if Path(self.checkpoint).is_file():
            runner.load_checkpoint(self.checkpoint)
            return
        print_log(
            f'There is no {self.checkpoint}: training starts from the backbone alone and will not '
            'reach the published results. Train the COCO stage first, or give an image checkpoint '
            'with --cfg-options load_from=FILE.',
            logger='current',
            level=30,
        )


def _whole_model(runner: Runner) -> nn.Module:
    """The model with parameters of their full shape, without its wrapper."""
    if not hasattr(runner.model, 'summon_full_params'):
        return getattr(runner.model, 'module', runner.model)
    # FSDP: each process has a part of every parameter, so another model stands in.
    cfg = runner.cfg.model.copy()
    cfg.backbone.init_cfg = None
    model = MODELS.build(cfg)
    model.init_weights()
    return model
