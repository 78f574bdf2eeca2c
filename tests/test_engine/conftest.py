import sys
import uuid
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

import mmdevis  # noqa: F401

sys.path.insert(0, str(Path(__file__).parent))
import toy_project  # noqa: F401


def make_config(work_dir, workers=0, epochs=3, seed=3, **changes):
    """Config of a run of `epochs` epochs of 5 iterations that logs each one."""
    cfg = dict(
        default_scope='mmdet',
        custom_imports=dict(imports=['mmdevis'], allow_failed_imports=False),
        experiment_name=uuid.uuid4().hex,  # MMEngine keeps histories by this name
        work_dir=str(work_dir),
        model=dict(type='ToyModel'),
        train_dataloader=dict(
            batch_size=2,
            num_workers=workers,
            persistent_workers=workers > 0,
            dataset=dict(type='ToyDataset', length=10),
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        train_cfg=dict(type='ReproducibleEpochLoop', max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.01)),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=10)],
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1),
            checkpoint=dict(
                type='CheckpointHook',
                by_epoch=False,
                interval=4,
                backend_args=dict(backend='atomic_local'),
            ),
            sampler_seed=dict(type='DistSamplerSeedHook'),
        ),
        visualizer=dict(
            type='Visualizer', name=uuid.uuid4().hex, vis_backends=[dict(type='LocalVisBackend')]
        ),
        randomness=dict(seed=seed),
        log_level='WARNING',
    )
    cfg.update(changes)
    return Config(cfg)


class Record(Hook):
    """Keeps (iteration, loss, learning rate) of every iteration."""

    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        rate = runner.optim_wrapper.get_lr()['lr'][0]
        self.losses.append((runner.iter + 1, outputs['loss'].item(), rate))


@pytest.fixture
def make_runner():
    """Builds runners: `make_runner(work_dir, **changes)`, see `make_config`."""

    runners = []

    def make(work_dir, **changes):
        runner = Runner.from_cfg(make_config(work_dir, **changes))
        runners.append(runner)
        runner.record = Record()
        runner.register_hook(runner.record, priority='VERY_HIGH')
        return runner

    yield make
    # Runners are reference cycles. Workers of a loader that the garbage collector finds in one
    # notice the end only after 5 s each.
    for runner in runners:
        iterator = getattr(runner.train_loop.dataloader, '_iterator', None)
        if iterator is not None:
            iterator._shutdown_workers()
