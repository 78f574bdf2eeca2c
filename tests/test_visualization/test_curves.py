"""Logs of runs and their curves."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdevis.visualization.curves import TrainingLog, find_logs, plot_curves, read_log, smooth


def write(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(record) + '\n' for record in records))
    return path


def train(*steps, loss=1.0):
    return [dict(step=s, iter=s, epoch=1, loss=loss, loss_mask=loss / 2) for s in steps]


def test_validations_stand_where_they_happened(tmp_path):
    validation = {'youtube_vis/AP': 0.5, 'time': 0.1, 'step': 1}  # its step is an epoch
    path = write(tmp_path / 'a.json', [*train(10, 20), validation, *train(30)])
    log = read_log([path])
    assert list(log.train) == [10, 20, 30]
    assert log.metrics == {20: {'youtube_vis/AP': 0.5}}
    assert log.names()[:2] == ['step', 'iter'] and 'time' not in log.names()
    assert [v.tolist() for v in log.values('youtube_vis/AP')] == [[20], [0.5]]


def test_a_resumed_run_replaces_what_it_repeats(tmp_path):
    early, late = {'a/AP': 0.1, 'step': 1}, {'a/AP': 0.2, 'step': 1}
    first = write(tmp_path / '1.json', [*train(1, 2), early, *train(3), late])
    resumed = write(tmp_path / '2.json', train(3, 4, loss=2.0))
    log = read_log([first, resumed])
    assert {s: r['loss'] for s, r in log.train.items()} == {1: 1, 2: 1, 3: 2, 4: 2}
    assert log.metrics == {2: {'a/AP': 0.1}}
    anew = write(tmp_path / '3.json', train(1, loss=3.0))
    assert list(read_log([first, resumed, anew]).train) == [1]


def test_validation_before_training_and_values_that_are_not_finite(tmp_path):
    records = [{'a/AP': 0.1, 'step': 0}, *train(5), dict(step=6, loss=math.nan)]
    log = read_log([write(tmp_path / 'a.json', records)])
    assert list(log.metrics) == [0]
    assert log.values('loss')[0].tolist() == [5]
    assert len(log.values('nothing')[0]) == 0


def test_logs_are_found_in_every_kind_of_folder(tmp_path):
    runs = [tmp_path / name / 'vis_data/scalars.json' for name in ('20250101_0', '20250102_0')]
    for path in reversed(runs):
        write(path, train(1))
    assert find_logs(tmp_path) == runs
    assert find_logs(runs[0]) == find_logs(runs[0].parent) == find_logs(runs[0].parents[1])
    with pytest.raises(FileNotFoundError, match='work folder of a run'):
        find_logs(tmp_path / 'nothing')


@given(st.lists(st.floats(-100, 100), max_size=20), st.integers(1, 25))
def test_smoothing_is_a_trailing_mean(values, window):
    expected = [np.mean(values[max(0, i - window + 1) : i + 1]) for i in range(len(values))]
    np.testing.assert_allclose(smooth(np.array(values), window), expected, atol=1e-9)


def test_panels_and_lines():
    logs = {
        'one': TrainingLog({1: dict(loss=2.0, lr=0.1), 2: dict(loss=1.0, lr=0.1)}, {}),
        'two': TrainingLog({1: dict(loss=3.0)}, {1: {'a/AP': 0.25}}),
    }
    figure = plot_curves(logs, ['loss', 'a/AP', 'lr'], window=2, title='both')
    panels = figure.axes
    assert [axes.get_ylabel() for axes in panels] == ['loss', 'a/AP', 'lr']
    assert [line.get_ydata().tolist() for line in panels[0].lines] == [[2.0, 1.5], [3.0]]
    assert [line.get_ydata().tolist() for line in panels[1].lines] == [[], [0.25]]
    assert [axes.get_yscale() for axes in panels] == ['log', 'linear', 'log']
    assert [t.get_text() for t in panels[0].get_legend().get_texts()] == ['one', 'two']
    colours = {tuple(line.get_color() for line in axes.lines) for axes in panels}
    assert len(colours) == 1
    with pytest.raises(KeyError, match='no run logged AP; there is: loss, lr, a/AP'):
        plot_curves(logs, ['AP'])
