"""Training loop that goes on after a kill as if nothing had happened."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from mmdet.registry import LOOPS
from mmengine.dist import get_rank
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop
from torch import nn
from torch.utils.data import DataLoader

from .seeding import ITERATION_STREAM, SeededBatchSampler, mix_seed, seed_generators, seeded_loader


@LOOPS.register_module()
class ReproducibleEpochLoop(EpochBasedTrainLoop):
    """MMEngine's epoch loop, with two differences.

    - Resuming from a checkpoint of the middle of an epoch (`CheckpointHook(by_epoch=False)`) goes
      on with the next batch of that epoch; MMEngine's loop starts the epoch over.
    - All random numbers are a function of the run's seed and the position in training (see
      `seeding`). The resumed run has the loss curve of one that was not interrupted, with any
      number of workers and ranks, and also where the seed was not given but drawn.

    Not covered: gradients that were accumulated but not yet applied when the checkpoint was
    written, and generators of other packages (albumentations has its own).

    Use it as `train_cfg = dict(type='ReproducibleEpochLoop', max_epochs=12, ...)`, arguments as for
    `EpochBasedTrainLoop`.
    """

    def __init__(
        self, runner: Any, dataloader: DataLoader | dict, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(runner, dataloader, *args, **kwargs)
        self.dataloader = seeded_loader(self.dataloader, get_rank())

    @property
    def batch_sampler(self) -> SeededBatchSampler:
        """The batch sampler of the training data."""
        return self.dataloader.batch_sampler

    def run(self) -> nn.Module:
        """Trains from where the checkpoint was, or from the beginning.

        Returns:
            The trained model.
        """
        # Only now the seed is known: a checkpoint that was resumed brings its own, after the
        # samplers were built with another one.
        different = self.runner._randomness_cfg.get('diff_rank_seed', False)
        self._seed = self.runner.seed - (get_rank() if different else 0)
        if hasattr(self.batch_sampler.sampler, 'seed'):
            self.batch_sampler.sampler.seed = self._seed
        self._first_batch = self._position_in_epoch()
        return super().run()

    def _position_in_epoch(self) -> int:
        position = self._iter - self._epoch * len(self.dataloader)
        if 0 <= position <= len(self.dataloader):
            return position
        print_log(
            f'The checkpoint was written at iteration {self._iter} of epoch {self._epoch}, which '
            f'does not fit epochs of {len(self.dataloader)} iterations: the data set, the batch '
            'size or the number of processes has changed. Starting this epoch from its beginning.',
            logger='current',
            level=logging.WARNING,
        )
        return 0

    def run_epoch(self) -> None:
        """Trains one epoch, or what is left of it."""
        self.batch_sampler.start_at(self._seed, self._epoch, self._first_batch)
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, batch in enumerate(self.dataloader, start=self._first_batch):
            self.run_iter(index, batch)
        self._first_batch = 0
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Trains on one batch.

        Args:
            idx: Its number in the epoch.
            data_batch: The batch.
        """
        seed_generators(mix_seed(ITERATION_STREAM, self._seed, get_rank(), self._iter))
        super().run_iter(idx, data_batch)
