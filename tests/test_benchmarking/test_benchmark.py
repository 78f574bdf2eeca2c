"""Tables run from their files: every model trains, evaluates and is reported, at tiny size."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmdevis.benchmarking.adapt import _resize_to, adapt_config
from mmdevis.benchmarking.plan import final_runs, first_runs, make_spec, rows, stages
from mmdevis.benchmarking.report import ERROR_KINDS, compare, make_report
from mmdevis.benchmarking.run import FolderMismatchError, execute
from mmdevis.datasets.synthvis import SynthVISConfig, generate_synthvis

ROOT = Path(__file__).parents[2]
TABLES = sorted((ROOT / 'configs/benchmark').glob('*.py'))


@pytest.fixture(autouse=True)
def in_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def load_tool(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / f'tools/benchmark/{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _frames(spec) -> int:
    return spec.iterations * spec.batch_size * spec.frames_per_sample


def test_rows_start_from_the_stage_of_their_seed():
    table = Config.fromfile(ROOT / 'configs/benchmark/peers_synthvis-cpu.py')
    assert {s.starts_from for s in first_runs(table) if s.entry == 'devis'} == {
        'devis_images-lr1-seed0'
    }
    assert make_spec(table, 'devis', 3.0, 1).starts_from == 'devis_images-lr1-seed1'
    assert [s.name for s in stages(table, 1)] == ['devis_images-lr1-seed1']
    assert 'devis_images' not in {s.entry for s in first_runs(table)}


def test_a_row_loads_its_stage_unless_it_resumes(tmp_path):
    table = Config.fromfile(ROOT / 'configs/benchmark/peers_synthvis-cpu.py')
    spec = make_spec(table, 'devis', 1.0, 0)
    folder = tmp_path / spec.name
    cfg = adapt_config(spec, tmp_path, (96, 160), folder)
    (hook,) = cfg.custom_hooks
    assert hook.type == 'StartFromImageHook' and not cfg.resume
    assert hook.checkpoint == str(tmp_path / 'devis_images-lr1-seed0/weights.pth')
    folder.mkdir()
    (folder / 'last_checkpoint').write_text('')
    assert adapt_config(spec, tmp_path, (96, 160), folder).resume


def test_a_run_without_its_stage_is_refused(tmp_path):
    table = Config.fromfile(ROOT / 'configs/benchmark/peers_synthvis-cpu.py')
    spec = make_spec(table, 'devis', 1.0, 0)
    with pytest.raises(FileNotFoundError, match='devis_images-lr1-seed0'):
        execute(spec, tmp_path, (32, 64), tmp_path / spec.name)


@pytest.mark.parametrize('path', TABLES, ids=lambda p: p.stem)
def test_all_entries_see_the_same_number_of_frames(path):
    table = Config.fromfile(path)
    assert len(table.seeds) >= 2
    names = [spec.name for spec in first_runs(table)]
    assert len(set(names)) == len(names)
    frames_of_stage = {spec.name: _frames(spec) for spec in stages(table, table.seeds[0])}
    for spec in first_runs(table):
        seen = _frames(spec) + frames_of_stage.get(spec.starts_from, 0)
        assert abs(seen - table.train_frames) / table.train_frames < 0.01
    best = dict.fromkeys(table.entries, 1.0)
    assert len(final_runs(table, best)) == len(rows(table)) * len(table.seeds)
    for pair in table.get('comparisons', []):
        assert {pair['better'], pair['worse']} <= set(table.entries)


def test_rows_of_cues_take_the_weights_of_the_full_model():
    table = Config.fromfile(ROOT / 'configs/benchmark/ablations_synthvis.py')
    spec = make_spec(table, 'cues_mask', 1.0, 1)
    assert spec.weights_of == 'full-lr1-seed1'
    assert spec.options['model.num_frames'] == 4
    assert all(s.weights_of is None for s in first_runs(table))
    with pytest.raises(KeyError, match='not an entry'):
        make_spec(table, 'nothing', 1.0, 0)


@pytest.mark.parametrize(
    'better, worse, verdict',
    [
        ([0.4, 0.5], [0.2, 0.3], 'reproduced'),
        ([0.2, 0.3], [0.4, 0.5], 'reversed'),
        ([0.3, 0.5], [0.3, 0.4], 'not distinguishable'),
        ([0.4, 0.5], [0.3], 'reproduced, but from one seed'),
        ([], [0.3], 'not measured'),
    ],
)
def test_verdict(better, worse, verdict):
    assert compare(better, worse) == verdict


def test_report_compares_rows_seed_by_seed(tmp_path):
    table = Config.fromfile(ROOT / 'configs/benchmark/ablations_synthvis.py')
    factor = table.lr_factors[0]
    scores = {('full', 0): 0.5, ('full', 1): 0.4, ('ktemp0', 0): 0.3, ('ktemp0', 1): 0.25}
    for (entry, seed), score in scores.items():
        spec = make_spec(table, entry, factor, seed)
        result = {
            'spec': spec.as_dict(),
            'parameters': 1,
            'fps': 1.0,
            'errors': {'alone': dict.fromkeys(ERROR_KINDS, {'AP': 0.0})},
            'sets': {'valid': {'AP': score}, 'test': {'AP': score}},
        }
        (tmp_path / spec.name).mkdir()
        (tmp_path / spec.name / 'result.json').write_text(json.dumps(result))
    text, content = make_report(table, tmp_path, {})
    expected = 'reproduced (0.450 ± 0.050 against 0.275 ± 0.025 AP; seed by seed +0.200, +0.150)'
    assert content['statements'][0].endswith(expected)
    assert expected in text
    assert content['statements'][1].endswith('not measured')


@pytest.mark.slow
def test_peers_train_resume_and_are_reported(tmp_path, capsys):
    tool = load_tool('run_table')
    small = [
        f'data.root={tmp_path / "data"}',
        'data.splits.train=3',
        'data.splits.valid=1',
        'data.splits.test=2',
        'data.settings.frames=3',
        'data.settings.size=(32,64)',
        'data.subsets.heavy_occlusion.videos=1',
        'data.subsets.look_alike.videos=1',
        'seeds=[0]',
        'train_frames=32',
        'entries.devis.lr_factors=[1.0]',
        'lr_factors=[1.0]',
    ]
    table = 'configs/benchmark/peers_synthvis-cpu.py'
    args = [table, '--work-dir', str(tmp_path / 'runs'), '--out', str(tmp_path), '--set', *small]
    calls = []

    def run(spec, data, size, folder, left, subsets):
        calls.append(spec.entry)
        if len(calls) == 1:  # no time: the first run stops after one of its iterations
            assert not execute(spec, data, size, folder, 0.0, subsets)
            assert os.listdir(folder) and not (folder / 'result.json').exists()
            assert json.loads((folder / 'state.json').read_text())['iterations'] == 1
        return execute(spec, data, size, folder, left, subsets)

    assert tool.main(args, run) == 0
    assert 'complete' in capsys.readouterr().out
    content = json.loads((tmp_path / 'peers_synthvis-cpu.json').read_text())
    assert {r['spec']['entry'] for r in content['runs'].values()} == {
        'devis',
        'mask2former',
        'masktrack_rcnn',
    }
    for result in content['runs'].values():
        assert result['iterations'] == 4  # DeVIS: 2 on single frames, 2 on clips
        assert set(result['sets']) == {'valid', 'test', 'heavy_occlusion', 'look_alike'}
        assert result['fps'] > 0 and result['fps_cpu'] > 0 and result['parameters'] > 0
        assert result['train_cpu_seconds'] > 0
        assert result['origin']['started']['commit'] and result['origin']['made_of']
    text = (tmp_path / 'peers_synthvis-cpu.md').read_text()
    assert '3 of 3 final runs are finished' in text
    assert 'commit' in text and 'Mask2Former-VIS' in text
    # Finished runs are not repeated.
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / 'runs').rglob('*.pth')}
    assert tool.main(args, run) == 0
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / 'runs').rglob('*.pth')}
    # Other settings are refused.
    assert tool.main([*args, 'train_frames=64'], run) == 2
    assert 'other settings (train_frames)' in capsys.readouterr().err


@pytest.mark.parametrize('path', ROOT.glob('configs/benchmark/peers*.py'), ids=lambda p: p.stem)
def test_models_of_a_table_of_peers_share_the_backbone_and_the_width(path, tmp_path):
    from mmdet.registry import MODELS

    init_default_scope('mmdet')
    table = Config.fromfile(path)
    widths = []
    for spec in stages(table, 0) + final_runs(table, dict.fromkeys(table.entries, 1.0)):
        cfg = adapt_config(spec, tmp_path, (96, 160), tmp_path)
        model = MODELS.build(cfg.model)
        backbone = model.get_submodule(spec.backbone_at.removeprefix('model.'))
        assert type(backbone).__name__ == 'MobileNetV2' and backbone.out_indices == (1, 2, 4, 6)
        if spec.seed == 0:
            found = cfg.model.get('bbox_head') or cfg.model.get('track_head')
            widths.append(found.get('embed_dims') or found.get('out_channels'))
    masktrack_width = cfg.model.detector.neck.out_channels
    assert set(widths) - {None} == {masktrack_width}


def test_every_row_of_the_ladder_builds(tmp_path):
    from mmdet.registry import MODELS

    table = Config.fromfile(ROOT / 'configs/benchmark/ablations_synthvis.py')
    parameters = {}
    for entry in table.entries:
        spec = make_spec(table, entry, 1.0, 0)
        cfg = adapt_config(spec, tmp_path, (96, 160), tmp_path)
        model = MODELS.build(cfg.model)
        parameters[entry] = sum(p.numel() for p in model.parameters())
        assert model.num_frames == cfg.train_dataloader.dataset.num_frames
    full = parameters['full']
    assert parameters['ktemp0'] < full and parameters['clip8'] > full
    assert parameters['mask_multi_scale'] < full
    assert parameters['mask_encoded'] < parameters['mask_multi_scale']
    assert parameters['cues_mask'] == parameters['not_instance_aware'] == full


def test_a_table_whose_data_set_is_missing_says_where_to_name_it(tmp_path, capsys):
    table = 'configs/benchmark/peers_davis_paste-cpu.py'
    args = [table, '--out', str(tmp_path), '--set', f'data.source={tmp_path / "nowhere"}']
    assert load_tool('run_table').main(args) == 2
    assert 'nowhere/train.json is missing' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def _execute_small(tmp_path, **options):
    """Folder and start of a run of DeVIS without a first stage, 6 iterations on tiny videos."""
    table = Config.fromfile(ROOT / 'configs/benchmark/peers_synthvis-cpu.py')
    data = tmp_path / 'data'
    settings = {**table.data.settings.to_dict(), 'frames': 4, 'size': (32, 64)}
    config = SynthVISConfig.preset(table.data.difficulty, **settings)
    generate_synthvis(data / 'main', {'train': 2, 'valid': 1, 'test': 1}, config)
    table.train_frames = 8 * 6
    table.entries.devis.update(starts_from=None, share=1.0)
    table.entries.devis.options.update(options)
    spec = make_spec(table, 'devis', 1.0, 0)
    folder = tmp_path / 'runs' / spec.name
    return folder, lambda seconds: execute(spec, data, (32, 64), folder, seconds)


def test_another_data_set_in_the_same_place_is_refused(tmp_path):
    folder, run = _execute_small(tmp_path)
    assert not run(0.0)
    annotations = tmp_path / 'data/main/annotations/test_ytvis.json'
    annotations.write_text(annotations.read_text() + ' ')
    with pytest.raises(FolderMismatchError, match='annotations'):
        run(0.0)


def test_time_before_a_kill_counts(tmp_path):
    folder, run = _execute_small(tmp_path)
    assert not run(0.0)  # one iteration
    spent = json.loads((folder / 'state.json').read_text())['train_seconds']
    (folder / 'state.json').unlink()  # a killed process would not have written it
    assert not run(0.0)
    state = json.loads((folder / 'state.json').read_text())
    assert state['iterations'] == 2 and state['train_seconds'] > spent > 0


def test_a_training_that_diverges_is_a_result(tmp_path):
    folder, run = _execute_small(tmp_path, **{'model.bbox_head.loss_cls.loss_weight': math.inf})
    assert run(float('inf'))
    result = json.loads((folder / 'result.json').read_text())
    assert 'not a finite number' in result['diverged']
    assert result['sets'] == {'valid': {'AP': 0.0}}
    assert run(float('inf'))  # finished, not tried again
    table = Config.fromfile(ROOT / 'configs/benchmark/peers_synthvis-cpu.py')
    row = dict(starts_from=None, lr_factors=[1.0])
    table.entries = {'devis': {**table.entries.devis, **row}}
    text, _ = make_report(table, folder.parent, {})
    assert '| devis-lr1-seed0 | diverged |' in text


def test_only_takes_names_of_the_table(tmp_path, capsys):
    args = ['configs/benchmark/peers_synthvis.py', '--out', str(tmp_path), '--only', 'devsi']
    assert load_tool('run_table').main(args) == 2
    assert "['devsi']" in capsys.readouterr().err


def test_every_way_of_resizing_gets_the_size():
    resize = dict(type='RandomChoiceResize', scales=[(1, 1), (2, 2)], keep_ratio=False)
    plain = dict(type='Resize', scale=(9, 9), keep_ratio=True)
    pipeline = [dict(type='RandomChoice', transforms=[[dict(resize)], [dict(plain)]]), dict(plain)]
    _resize_to(pipeline, (64, 32))
    found = [steps[0] for steps in pipeline[0]['transforms']] + pipeline[1:]
    assert found == 3 * [dict(type='Resize', scale=(64, 32), keep_ratio=True)]
