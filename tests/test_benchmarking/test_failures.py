"""The worst videos are found, described and drawn."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import pytest

from mmdevis.benchmarking.failures import worst_videos
from mmdevis.datasets.synthvis import SynthVISConfig, generate_synthvis

TOOL = Path(__file__).parents[2] / 'tools/benchmark/failure_gallery.py'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Three videos: predictions are perfect, without the first object, and missing."""
    root = tmp_path_factory.mktemp('gallery') / 'data'
    config = SynthVISConfig.preset(
        'easy', frames=4, size=(48, 64), num_objects=(2, 2), empty_frame_prob=0.0, late_prob=0.0
    )
    generate_synthvis(root, {'test': 3}, config, seed=0)
    gt = json.loads((root / 'annotations/test_ytvis.json').read_text())
    first, second, _ = (video['id'] for video in gt['videos'])
    of_second = [a for a in gt['annotations'] if a['video_id'] == second]
    kept = [a for a in gt['annotations'] if a['video_id'] == first] + of_second[1:]
    keys = ('video_id', 'category_id', 'segmentations')
    return root, gt, [{**{k: a[k] for k in keys}, 'score': 0.9} for a in kept]


def test_worst_first_with_the_reason(data):
    _, gt, results = data
    failures = worst_videos(gt, results)
    ids = [video['id'] for video in gt['videos']]
    assert [f.video['id'] for f in failures] == [ids[2], ids[1]]
    assert failures[0].ap == 0 < failures[1].ap < 1
    counts = [len(f.tracks.gts) for f in failures]
    assert failures[0].reason == f'{counts[0]} of {counts[0]} objects missed'
    assert failures[1].reason == f'1 of {counts[1]} objects missed'
    assert len(worst_videos(gt, results, 1)) == 1


def test_gallery(data, tmp_path, capsys):
    root, _, results = data
    spec = importlib.util.spec_from_file_location('failure_gallery', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    (tmp_path / 'r.json').write_text(json.dumps(results))
    gt = root / 'annotations/test_ytvis.json'
    out = tmp_path / 'gallery'
    args = [tmp_path / 'r.json', gt, root / 'test/JPEGImages', '--out', out, '--count', 2]
    assert tool.main([str(a) for a in args]) == 0
    text = (out / 'README.md').read_text()
    assert text.count('objects missed') == 4  # caption and line of two videos
    assert sorted(p.name for p in out.glob('*.jpg')) == ['01.jpg', '02.jpg']
    assert cv2.imread(str(out / '01.jpg')).std() > 5
    args[2] = tmp_path
    assert tool.main([str(a) for a in args]) == 2
    assert 'cannot be read' in capsys.readouterr().err
