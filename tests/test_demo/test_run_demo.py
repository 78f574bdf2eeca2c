"""The demo from data to video, with seconds of training."""

import importlib.util
import json
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def demo():
    spec = importlib.util.spec_from_file_location('run_demo', ROOT / 'demo/run_demo.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_whole_demo(demo, tmp_path):
    arguments = ['--videos', '4', '--val-videos', '2', '--frames', '6', '--shown', '1']
    arguments += ['--minutes', str(demo.OTHER_MINUTES + 0.03)]
    arguments += ['--work-dir', str(tmp_path / 'work'), '--data', str(tmp_path / 'data')]
    assert demo.main(arguments) == 0
    results = json.loads((tmp_path / 'work/metrics.json').read_text())
    assert {'AP', 'AP50', 'AP75', 'AR1', 'AR10', 'seconds'} <= set(results)
    assert all(0 <= results[name] <= 1 for name in ('AP', 'AP50', 'AP75', 'AR1', 'AR10'))
    assert set(results['seconds']) == {'data', 'train_images', 'train', 'evaluate', 'video'}
    assert results['videos'] == 2 and min(results['iterations'].values()) > 0
    video = cv2.VideoCapture(str(tmp_path / 'work/result.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) > 0
    assert (tmp_path / 'work/demo.pth').exists()


def test_refuses_a_budget_without_training(demo, capsys):
    with pytest.raises(SystemExit):
        demo.parse_args(['--minutes', '0.5'])
    assert 'evaluation needs' in capsys.readouterr().err
