"""The command that scores a results file."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from mmdevis.evaluation import evaluate_ytvis, write_submission

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/eval_results.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('eval_results', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def files(vis, tmp_path):
    gt, results = vis.random_set(1)
    (tmp_path / 'gt.json').write_text(json.dumps(gt))
    write_submission(results, tmp_path / 'results')
    return tmp_path, gt, results


@pytest.mark.parametrize('name', ['results.json', 'results.submission_file.zip'])
def test_table_and_json(tool, files, capsys, name):
    folder, gt, results = files
    out = folder / 'new' / 'metrics.json'
    args = [folder / name, folder / 'gt.json', '--classwise', '--json', out]
    assert tool.main([str(a) for a in args]) == 0
    printed = capsys.readouterr().out
    assert 'AP50' in printed and 'owl' in printed
    expected = evaluate_ytvis(gt, results, classwise=True)
    assert json.loads(out.read_text()) == pytest.approx(expected)
    assert [p.name for p in out.parent.iterdir()] == ['metrics.json']


def test_iou_thresholds(tool, files, capsys):
    folder, gt, results = files
    out = folder / 'm.json'
    args = [folder / 'results.json', folder / 'gt.json', '--iou-thrs', 0.5, '--json', out]
    assert tool.main([str(a) for a in args]) == 0
    assert json.loads(out.read_text())['AP'] == evaluate_ytvis(gt, results)['AP50']


@pytest.mark.parametrize(
    'content, message',
    [
        (None, 'nothing.json'),
        ('{"a": ', 'cannot be read'),
        ('{}', 'expected a list with one entry per track'),
        ('[{"video_id": 1}]', "no key 'category_id'"),
    ],
)
def test_errors_are_one_line_and_leave_no_file(tool, files, capsys, content, message):
    folder = files[0]
    path = folder / 'nothing.json'
    if content is not None:
        path.write_text(content)
    args = [str(path), str(folder / 'gt.json'), '--json', str(folder / 'm.json')]
    assert tool.main(args) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ') and message in error
    assert not (folder / 'm.json').exists()


def test_ground_truth_without_annotations(tool, files, capsys):
    folder, gt, _ = files
    (folder / 'gt.json').write_text(json.dumps(gt | {'annotations': None}))
    assert tool.main([str(folder / 'results.json'), str(folder / 'gt.json')]) == 2
    assert "'annotations' is null" in capsys.readouterr().err
