import json
import logging
import sys
from unittest.mock import MagicMock

import pytest
import torch

from mmdevis.engine import LossCurveHook, ProgressBarHook
from mmdevis.engine.hooks import MainProcessLoggerHook, draw_loss_curve, read_scalars


@pytest.mark.parametrize('rank', [0, 1])
def test_one_process_writes_the_metrics_of_a_test(tmp_path, monkeypatch, rank):
    monkeypatch.setattr('mmengine.dist.utils.get_rank', lambda group=None: rank)
    runner = MagicMock(log_dir=str(tmp_path), timestamp='now')
    runner.log_processor.get_log_after_epoch.return_value = ({'youtube_vis/AP': 0.5}, 'AP 0.5')
    hook = MainProcessLoggerHook()
    hook.json_log_path = 'now.json'
    hook.after_test_epoch(runner, {'youtube_vis/AP': 0.5})
    written = [json.loads(path.read_text()) for path in tmp_path.iterdir()]
    assert written == ([{'youtube_vis/AP': 0.5}] if rank == 0 else [])


def write_scalars(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(record) + '\n' for record in records))
    return path


def test_read_scalars_takes_the_resumed_run_and_survives_a_cut_line(tmp_path):
    first = write_scalars(tmp_path / 'a.json', [dict(step=s, loss=1.0) for s in (1, 2, 3)])
    with first.open('a') as file:
        file.write('{"step": 4, "lo')
    second = write_scalars(
        tmp_path / 'b.json', [dict(step=3, loss=2.0), {'step': 1, 'coco/AP': 0.5}]
    )
    scalars = read_scalars([first, second])
    assert [(step, record['loss']) for step, record in scalars.items()] == [(1, 1), (2, 1), (3, 2)]


@pytest.mark.parametrize('loss', [1.5, -1.0])
def test_draw_loss_curve_writes_one_complete_picture(tmp_path, loss):
    scalars = {1: dict(loss=loss, loss_cls=0.5), 2: dict(loss=loss / 2, loss_mask=0.2)}
    draw_loss_curve(scalars, tmp_path / 'curve.png')
    assert [p.name for p in tmp_path.iterdir()] == ['curve.png']
    assert (tmp_path / 'curve.png').read_bytes().startswith(b'\x89PNG')


def test_loss_curve_after_training(tmp_path, make_runner):
    runner = make_runner(tmp_path, epochs=1, custom_hooks=[dict(type='LossCurveHook')])
    runner.train()
    assert (tmp_path / 'loss_curve.png').stat().st_size > 5000


def test_curve_leaves_out_runs_that_were_not_resumed(tmp_path, make_runner, monkeypatch):
    write_scalars(tmp_path / '20200101_000000/vis_data/scalars.json', [dict(step=99, loss=1.0)])
    drawn = []
    monkeypatch.setattr(
        'mmdevis.engine.hooks.loss_curve_hook.draw_loss_curve',
        lambda scalars, *_: drawn.append(list(scalars)),
    )
    runner = make_runner(tmp_path, epochs=1)
    runner.register_hook(LossCurveHook())
    runner.train()
    assert drawn == [[1, 2, 3, 4, 5]]


def test_progress_in_a_log_file_counts_to_the_end(tmp_path, make_runner, capsys):
    runner = make_runner(
        tmp_path, epochs=2, custom_hooks=[dict(type='ProgressBarHook', interval=0)]
    )
    runner.train()
    out = capsys.readouterr().out
    assert 'training' in out
    assert '10/10' in out
    assert '\x1b' not in out


def test_progress_starts_where_the_checkpoint_was(tmp_path, make_runner, capsys):
    make_runner(tmp_path, epochs=1).train()  # leaves a checkpoint at iteration 4 or 5
    capsys.readouterr()
    runner = make_runner(tmp_path, epochs=2, resume=True)
    runner.register_hook(ProgressBarHook(interval=0))
    runner.train()
    lines = [line for line in capsys.readouterr().out.splitlines() if 'training' in line]
    counts = [int(line.split('%|')[1].split('/')[0]) for line in lines if '%|' in line]
    assert min(counts) >= 4
    assert max(counts) == 10


def test_progress_on_a_terminal_leaves_logging_as_it_was(tmp_path, make_runner, monkeypatch):
    monkeypatch.setattr(sys.stdout, 'isatty', lambda: True, raising=False)
    runner = make_runner(tmp_path, epochs=1)
    handlers = list(runner.logger.handlers)
    assert any(isinstance(handler, logging.StreamHandler) for handler in handlers)
    runner.register_hook(ProgressBarHook())
    runner.train()
    assert runner.logger.handlers == handlers


def test_progress_does_not_read_the_loss_of_every_iteration(tmp_path, make_runner, monkeypatch):
    # Reading waits for the device; the bar is drawn rarely.
    hook = ProgressBarHook(interval=1000)
    runner = make_runner(tmp_path, epochs=1)
    hook.before_train(type('Stub', (), dict(max_iters=1000, iter=0))())
    reads = []

    class Loss(torch.Tensor):
        def __float__(self):
            reads.append(1)
            return 0.0

    for index in range(100):
        hook.after_train_iter(runner, index, outputs=dict(loss=Loss()))
    hook.after_train(runner)
    assert len(reads) == 1
