import pytest
from mmengine.hooks import Hook


class Kill(Hook):
    """Ends training in the middle of an iteration, as a signal would."""

    def __init__(self, at):
        self.at = at

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.at:
            raise KeyboardInterrupt


def interrupted_run(make_runner, work_dir, at, **changes):
    runner = make_runner(work_dir, **changes)
    runner.register_hook(Kill(at))
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    return runner


# Checkpoints lie at iterations 4, 8, 12 of epochs of 5: in the middle of an epoch.
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize(('at', 'goes_on_from'), [(6, 4), (9, 8), (14, 12)])
def test_resumed_run_has_the_curve_of_an_uninterrupted_one(
    tmp_path, make_runner, workers, at, goes_on_from
):
    whole = make_runner(tmp_path / 'whole', workers=workers)
    whole.train()
    expected = whole.record.losses
    assert [step for step, *_ in expected] == list(range(1, 16))
    assert len({loss for _, loss, _ in expected}) == 15

    first = interrupted_run(make_runner, tmp_path / 'cut', at, workers=workers)
    assert first.record.losses == expected[:at]
    second = make_runner(tmp_path / 'cut', workers=workers, resume=True)
    second.train()
    assert second.record.losses == expected[goes_on_from:]


def test_epoch_checkpoint_and_seed_that_was_drawn(tmp_path, make_runner):
    # Without a seed in the config the second process draws another one and must take the first's.
    hooks = dict(
        logger=dict(type='LoggerHook', interval=1),
        checkpoint=dict(type='CheckpointHook', interval=1),
    )
    changes = dict(randomness=dict(seed=None), default_hooks=hooks)
    first = interrupted_run(make_runner, tmp_path / 'a', 12, **changes)
    seed, before = first.seed, first.record.losses
    second = make_runner(tmp_path / 'a', resume=True, **changes)
    assert second.seed != seed
    second.train()
    assert second.seed == seed
    after = second.record.losses
    assert after[:2] == before[10:12]
    assert [step for step, *_ in after] == list(range(11, 16))


def test_workers_do_not_change_the_curve(tmp_path, make_runner):
    curves = []
    for workers in (0, 1, 2):
        runner = make_runner(tmp_path / str(workers), workers=workers, epochs=2)
        runner.train()
        curves.append(runner.record.losses)
    assert curves[0] == curves[1] == curves[2]


def test_another_seed_gives_another_curve(tmp_path, make_runner):
    curves = []
    for seed in (1, 2):
        runner = make_runner(tmp_path / str(seed), seed=seed, epochs=1)
        runner.train()
        curves.append([loss for _, loss, _ in runner.record.losses])
    assert all(a != b for a, b in zip(*curves))


def test_samples_that_were_trained_on_are_not_loaded_again(tmp_path, make_runner):
    interrupted_run(make_runner, tmp_path, 9)  # resumes at 8, with 2 of 5 batches left
    second = make_runner(tmp_path, resume=True, epochs=2)
    second.train()
    assert second.train_dataloader.dataset.dataset.load_count == 4


def test_changed_batch_size_starts_the_epoch_over(tmp_path, make_runner):
    interrupted_run(make_runner, tmp_path, 6)
    second = make_runner(tmp_path, resume=True, epochs=2)
    second._train_loop['max_epochs'] = 2
    second._train_dataloader['batch_size'] = 5  # 2 iterations per epoch: 4 lies outside epoch 0
    second.train()
    assert [step for step, *_ in second.record.losses] == [5, 6, 7, 8]


def test_validation_in_between_does_not_change_the_curve(tmp_path, make_runner):
    plain = make_runner(tmp_path / 'plain')
    plain.train()
    data = dict(
        batch_size=1, num_workers=0, dataset=dict(type='ToyDataset', length=3),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )  # fmt: skip
    validated = make_runner(
        tmp_path / 'validated',
        val_dataloader=data,
        val_cfg=dict(type='ValLoop'),
        val_evaluator=dict(type='ToyMetric'),
    )
    validated.train()
    assert plain.record.losses == validated.record.losses
