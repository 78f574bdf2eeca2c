"""tools/analysis_tools/sweep_tracker.py: the numbers of tools/test.py, with the model run once."""

import importlib.util
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdevis.datasets.synthvis import SYNTHVIS_CLASSES, SynthVISConfig, generate_synthvis
from mmdevis.evaluation.clip_store import ClipStore, ClipStoreError
from mmdevis.models.vis import DeVIS

ROOT = Path(__file__).parents[2]
(BASE,) = ROOT.glob('configs/devis/devis_mobilenetv2_1xb2-*_ytvis-style.py')

CONFIG = f"""
_base_ = '{BASE}'
model = dict(
    # Boxes of an untrained model are a strange prior for its masks.
    bbox_head=dict(num_classes={len(SYNTHVIS_CLASSES)}, mask_head=dict(box_prior=False)),
    num_frames=4,
    # Nothing that an untrained model finds passes the thresholds of the config's own tracker.
    tracker=dict(_delete_=True, type='MultiCueClipTracker'),
    test_cfg=dict(stride=3),
)
val_dataloader = dict(
    dataset=dict(
        data_root='data/',
        ann_file='truth.json',
        data_prefix=dict(img_path='valid/JPEGImages'),
    )
)
test_dataloader = val_dataloader
"""


def load_tool(path):
    spec = importlib.util.spec_from_file_location(f'sweep_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


test = load_tool(ROOT / 'tools/test.py')
tool = load_tool(ROOT / 'tools/analysis_tools/sweep_tracker.py')


def write_random_model(config, path):
    """A model without training whose masks, classes and scores differ."""
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(config).model)
    model.init_weights()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(('bbox_head.cls_branches', 'bbox_head.mask_head.predictor')):
                parameter += torch.randn_like(parameter)
    torch.save({'state_dict': model.state_dict()}, path)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Data whose ground truth is what the model finds with the settings of the config."""
    folder = tmp_path_factory.mktemp('sweep')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv('LOCAL_RANK', raising=False)
        patch.setenv('VIS_DATA', 'data/')
        config = SynthVISConfig(frames=9, size=(48, 64))
        generate_synthvis('data', {'valid': 2}, config, workers=1, progress=False)
        truth = json.loads(Path('data/annotations/valid_ytvis.json').read_text())
        cut_video(truth, truth['videos'][-1], 3)  # shorter than a clip
        Path('data/truth.json').write_text(json.dumps(truth))
        Path('sweep_video.py').write_text(CONFIG)
        write_random_model('sweep_video.py', 'model.pth')
        words = ['--cfg-options', 'test_evaluator.outfile_prefix=found']
        run_test('first', *words)
        found = json.loads(Path('found.json').read_text())
        truth['annotations'] = [
            track | {'id': number, 'iscrowd': 0}
            for number, track in enumerate(found, 1)
            if track['score'] > np.median([track['score'] for track in found])
        ]
        for track in truth['annotations']:
            del track['score']
        Path('data/truth.json').write_text(json.dumps(truth))
    return folder


def cut_video(data, video, length):
    video['length'], video['file_names'] = length, video['file_names'][:length]
    for track in data['annotations']:
        if track['video_id'] == video['id']:
            for key, value in track.items():
                if isinstance(value, list):
                    track[key] = value[:length]


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv('VIS_DATA', 'data/')
    monkeypatch.delenv('LOCAL_RANK', raising=False)


def run_test(work_dir, *words):
    """Metrics of tools/test.py."""
    assert test.main(['sweep_video.py', 'model.pth', '--work-dir', work_dir, *words]) == 0
    path = sorted(Path(work_dir).glob('*/*.json'))[-1]
    lines = path.read_text().splitlines()
    return {key.split('/')[-1]: value for key, value in json.loads(lines[-1]).items()}


def run_tool(*words, clips='clips'):
    status = tool.main(['sweep_video.py', 'model.pth', '--clips', clips, *words])
    assert status == 0
    return json.loads(Path('table.json').read_text())


GRID = ['class_weight=0.0,1.0', 'match_threshold=None,-1.5', 'stride=1,3', 'max_per_clip=4,10']


def test_numbers_of_the_whole_model(capsys, monkeypatch):
    rows = run_tool('--grid', *GRID, '--json', 'table.json', '--at-once', '6')
    assert len(rows) == 16
    combinations = itertools.product((0.0, 1.0), (None, -1.5), (1, 3), (4, 10))
    keys = ['class_weight', 'match_threshold', 'stride', 'max_per_clip']
    assert [tuple(row['changed'][key] for key in keys) for row in rows] == list(combinations)
    assert rows[0]['tracker']['class_weight'] == 0.0 and rows[0]['stride'] == 1
    scores = [row['metrics']['AP'] for row in rows]
    assert 0 < max(scores) and len(set(scores)) > 4  # settings matter here
    for row in (rows[0], rows[-1], rows[6]):
        changed = row['changed']
        expected = run_test(
            f'whole{rows.index(row)}',
            '--cfg-options',
            f'model.tracker.class_weight={changed["class_weight"]}',
            f'model.tracker.match_threshold={changed["match_threshold"]}',
            f'model.test_cfg.stride={changed["stride"]}',
            f'model.test_cfg.max_per_clip={changed["max_per_clip"]}',
        )
        for name, value in row['metrics'].items():
            assert value == expected[name], name

    # A table with the best setting first, and no second run of the model.
    lines = capsys.readouterr().out.splitlines()
    first = lines[[line.startswith('---') for line in lines].index(True) + 1]
    assert f'{max(scores):.4f}' in first and first.startswith('class_weight=')
    monkeypatch.setattr(DeVIS, 'select_clip', None)
    again = run_tool('--grid', 'stride=3', '--json', 'table.json')
    assert again[0]['metrics'] == run_tool('--json', 'table.json')[0]['metrics']


def test_interrupted_recording_goes_on(monkeypatch):
    select, calls = DeVIS.select_clip, []

    def stop_after_the_first_video(self, *args, **kwargs):
        calls.append(1)
        # 9 frames, T = 4, stride 3: clips at 0, 3 and 5.
        if len(calls) > 3:
            raise KeyboardInterrupt
        return select(self, *args, **kwargs)

    monkeypatch.setattr(DeVIS, 'select_clip', stop_after_the_first_video)
    with pytest.raises(KeyboardInterrupt):
        run_tool('--json', 'table.json', clips='interrupted')
    assert len(list(Path('interrupted').glob('*.npz'))) == 1
    assert not list(Path('interrupted').glob('.*'))
    monkeypatch.setattr(DeVIS, 'select_clip', select)
    run_tool('--json', 'table.json', clips='interrupted')
    assert len(list(Path('interrupted').glob('*.npz'))) == 2
    # A file that was damaged is named.
    path = sorted(Path('interrupted').glob('*.npz'))[0]
    path.write_bytes(path.read_bytes()[:100])
    about = json.loads(Path('interrupted/clips.json').read_text())
    needs = about.pop('stride'), about.pop('max_instances')
    store = ClipStore('interrupted', about, *needs, half=about.pop('half'))
    with pytest.raises(ClipStoreError, match=path.name):
        store.read(int(path.stem))


def test_half_precision_halves_the_folder():
    exact = run_tool('--json', 'table.json', clips='exact')[0]['metrics']['AP']
    half = run_tool('--json', 'table.json', '--half', clips='half')[0]['metrics']['AP']
    assert half == pytest.approx(exact, abs=0.05)
    sizes = [sum(path.stat().st_size for path in Path(f).glob('*.npz')) for f in ('exact', 'half')]
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--grid', 'mask_wait=1'], 'mask_wait'),
        (['--grid', 'mask_weight'], 'KEY=VALUE'),
        (['--grid', 'stride=4'], 'overlap'),
        (['--grid', 'final_class_policy=best'], 'most_common'),
        (['--sort', 'APP'], 'the metrics are'),
        (['--cfg-options', 'test_evaluator.format_only=True'], 'docs/datasets.md'),
        (['--cfg-options', 'model.bbox_head.mask_head.unit_attention=False'], 'something else'),
        (['--grid', 'stride=1', '--clips', 'exact'], 'does not serve'),
    ],
)
def test_what_does_not_fit_is_said(words, message, capsys):
    run_tool('--json', 'table.json', clips='exact')
    assert tool.main(['sweep_video.py', 'model.pth', '--clips', 'exact', *words]) == 1
    assert message in capsys.readouterr().err
