"""Training by the clock."""

from types import SimpleNamespace

import pytest

from mmdevis.engine import TimeBudgetHook


def test_factor_rises_and_falls():
    hook = TimeBudgetHook(minutes=1, warmup_iters=10)
    assert hook.factor(0.0, 0) == pytest.approx(0.1)
    assert hook.factor(0.0, 9) == pytest.approx(1.0)
    assert hook.factor(30.0, 1000) == pytest.approx(0.5)
    assert hook.factor(60.0, 1000) == pytest.approx(0.0)
    assert hook.factor(90.0, 1000) == pytest.approx(0.0)


def test_flat_part_keeps_the_rate():
    hook = TimeBudgetHook(minutes=1, warmup_iters=0, flat=0.5)
    assert hook.factor(30.0, 5) == pytest.approx(1.0)
    assert hook.factor(45.0, 5) == pytest.approx(0.5)


@pytest.mark.parametrize('options', [dict(minutes=0), dict(minutes=1, flat=1.5)])
def test_refuses_impossible_settings(options):
    with pytest.raises(ValueError, match='minutes > 0 and flat in 0..1'):
        TimeBudgetHook(**options)


def test_stops_and_sets_rates_of_all_groups(monkeypatch):
    now = [100.0]
    monkeypatch.setattr('mmdevis.engine.hooks.time_budget_hook.time.monotonic', lambda: now[0])
    groups = [dict(lr=1.0), dict(lr=0.1)]
    runner = SimpleNamespace(
        iter=50,
        optim_wrapper=SimpleNamespace(param_groups=groups),
        train_loop=SimpleNamespace(stop_training=False),
    )
    hook = TimeBudgetHook(minutes=1, warmup_iters=1)
    hook.before_train(runner)
    now[0] += 30
    hook.before_train_iter(runner, 50)
    hook.after_train_iter(runner, 50, outputs=dict(loss=1.0))
    assert [group['lr'] for group in groups] == pytest.approx([0.5, 0.05])
    assert not runner.train_loop.stop_training
    now[0] += 31
    hook.before_train_iter(runner, 51)
    hook.after_train_iter(runner, 51, outputs=dict(loss=1.0))
    hook.after_train(runner)
    assert runner.train_loop.stop_training
