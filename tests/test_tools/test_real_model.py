"""DeVIS itself, at reduced size, through the tools: kills, several processes, broken data."""

import importlib.util
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmdevis.testing import reduce_model

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs' / 'devis' / 'devis_r18_1xb4-demo_synthvis.py'
METRICS = ['AP', 'AP50', 'AP75', 'AR1', 'AR10']


def load_tool(path):
    spec = importlib.util.spec_from_file_location(f'tool_{Path(path).stem}', ROOT / 'tools' / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


train, test = load_tool('train.py'), load_tool('test.py')
make_synthvis = load_tool('dataset_converters/make_synthvis.py')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """SynthVIS with 4 training videos (12 clips of 4 frames) and 3 unseen ones."""
    folder = tmp_path_factory.mktemp('data') / 'synthvis'
    words = f'{folder} --videos 4 --val-videos 3 --frames 6 --size 32 48 --seed 1'.split()
    settings = ['--set', 'short_video_prob=0', 'empty_frame_prob=0']
    assert make_synthvis.main([*words, *settings]) == 0
    return folder


@pytest.fixture
def write_config(data, tmp_path, monkeypatch):
    """Writes the demo's config with a reduced model: `write_config(name, KEY=value, ...)`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('LOCAL_RANK', raising=False)

    def write(name, root=data, **changes):
        cfg = Config.fromfile(CONFIG)
        cfg.model = reduce_model(cfg.model)
        # Nothing that an untrained model finds passes the thresholds of the demo's tracker.
        cfg.model.tracker = dict(type='MultiCueClipTracker')
        cfg.merge_from_dict(
            {
                # MMEngine keeps histories and loss files of a process by these names.
                'experiment_name': f'{tmp_path.name}-{name}',
                'visualizer.name': f'{tmp_path.name}-{name}',
                'train_dataloader.batch_size': 2,
                'train_dataloader.num_workers': 1,
                'train_cfg.max_epochs': 2,
                'train_cfg.val_interval': 9,
                'default_hooks.checkpoint.by_epoch': False,
                'default_hooks.checkpoint.interval': 4,
                'default_hooks.logger.interval': 1,
                'log_processor.window_size': 1,  # losses themselves, not means
                'randomness': dict(seed=1),
                **{
                    f'{split}_dataloader.dataset.data_root': f'{root}/'
                    for split in ('train', 'val', 'test')
                },
                **changes,
            }
        )
        path = tmp_path / f'{name}.json'
        path.write_text(json.dumps(cfg.to_dict()))
        return str(path)

    return write


def environment():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    paths = [str(Path(__file__).parent), str(ROOT)]
    changes = dict(PORT=str(port), OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
    env = {**os.environ, **changes, 'PYTHON': sys.executable, 'PYTHONPATH': os.pathsep.join(paths)}
    env.pop('LOCAL_RANK', None)
    return env


def run(*words):
    return subprocess.run(
        [str(word) for word in words],
        env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def losses(work_dir):
    """All losses, the gradient's norm and the learning rate of every iteration."""
    found = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if 'loss' in record:
                step = record.pop('step')
                found[step] = {k: v for k, v in record.items() if 'time' not in k}
    return found


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_and_resumed_has_the_curve_of_an_uninterrupted_run(
    write_config,
):
    no_validation = dict.fromkeys(['val_cfg', 'val_dataloader', 'val_evaluator'])
    whole = write_config('whole', **no_validation)
    assert train.main([whole, '--work-dir', 'whole']) == 0
    expected = losses('whole')
    assert list(expected) == list(range(1, 13))  # 2 epochs of 6 iterations
    assert len({record['loss'] for record in expected.values()}) == 12
    assert {'loss_mask', 'loss_dice', 'loss_pixel', 'd0.loss_bbox', 'grad_norm'} <= set(expected[1])

    imports = dict(imports=['mmdevis', 'stop_training'], allow_failed_imports=False)
    killed = write_config(
        'killed', custom_imports=imports, custom_hooks=[dict(type='KillHook', at=5)]
    )
    done = run(sys.executable, ROOT / 'tools' / 'train.py', killed, '--work-dir', 'cut')
    assert done.returncode == -9, done.stderr[-2000:]
    assert list(losses('cut')) == [1, 2, 3, 4, 5]
    assert Path('cut/last_checkpoint').read_text().endswith('iter_4.pth')

    resumed = write_config('resumed', **no_validation)
    assert train.main([resumed, '--work-dir', 'cut', '--resume']) == 0
    assert losses('cut') == expected


def metrics_of(work_dir):
    records = [
        json.loads(line)
        for path in sorted(Path(work_dir).glob('*/*.json'))
        for line in path.read_text().splitlines()
    ]
    last = [record for record in records if 'youtube_vis/AP' in record][-1]
    return {name: last[f'youtube_vis/{name}'] for name in METRICS}


@pytest.mark.slow
def test_two_processes_on_cpus_train_and_evaluate_like_one(write_config):
    config = write_config('two', **{'train_cfg.max_epochs': 1})
    done = run('bash', ROOT / 'tools/dist_train.sh', config, 2, '--work-dir', 'two')
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert list(losses('two')) == [1, 2, 3]  # 12 clips, 2 processes, 2 clips each

    # Three videos: one rank has one more than the other.
    words = [config, 'two/iter_3.pth']
    options = ['--work-dir', 'a', '--cfg-options', 'test_evaluator.outfile_prefix=a/submission']
    done = run('bash', ROOT / 'tools/dist_test.sh', *words, 2, *options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    options = ['--work-dir', 'b', '--cfg-options', 'test_evaluator.outfile_prefix=b/submission']
    assert test.main([*words, *options, '--out', 'b/all.pkl']) == 0
    assert metrics_of('a') == metrics_of('b')
    # An untrained model scores about nothing, so what it predicts is compared too.
    tracks = Path('a/submission.json').read_text()
    assert tracks == Path('b/submission.json').read_text()
    assert len({track['video_id'] for track in json.loads(tracks)}) == 3
    with open('b/all.pkl', 'rb') as file:
        assert len(pickle.load(file)) == 3
    assert sorted(path.name for path in Path('b').glob('*.pkl')) == ['all.pkl']


def untrained(config):
    """Path of a checkpoint of a config that was never trained."""
    init_default_scope('mmdet')
    model = MODELS.build(Config.fromfile(config).model)
    torch.save(dict(state_dict=model.state_dict()), 'untrained.pth')
    return 'untrained.pth'


@pytest.fixture
def broken(data, tmp_path):
    """A copy of the data whose first training video has a truncated frame."""
    shutil.copytree(data, tmp_path / 'broken')
    frame = next((tmp_path / 'broken/train/JPEGImages').glob('*/00002.jpg'))
    frame.write_bytes(frame.read_bytes()[:-100])
    return frame


@pytest.mark.parametrize('workers', [0, 1])
def test_a_truncated_frame_ends_training_with_its_name(write_config, broken, workers, capsys):
    loader = {'num_workers': workers, 'persistent_workers': workers > 0}
    changes = {f'train_dataloader.{key}': value for key, value in loader.items()}
    config = write_config(f'broken{workers}', broken.parents[3], **changes)
    assert train.main([config, '--work-dir', 'broken_run']) == 1
    error = capsys.readouterr().err
    assert error.rpartition('error: ')[2].startswith('video ')
    assert f'frame 2, file {broken} is truncated' in error
    assert 'Traceback' not in error


def test_missing_annotations_end_training_with_the_name_of_the_file(write_config, capsys, tmp_path):
    config = write_config('none', tmp_path / 'no data')
    assert train.main([config, '--work-dir', 'none']) == 1
    assert f'{tmp_path}/no data/annotations/train.json does not exist' in capsys.readouterr().err


def test_a_set_without_ground_truth_gives_a_submission(write_config, data, tmp_path, capsys):
    shutil.copytree(data, tmp_path / 'hidden')
    path = tmp_path / 'hidden/annotations/valid.json'
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(content, annotations=None)))
    config = write_config('hidden', tmp_path / 'hidden')
    words = [config, untrained(config), '--work-dir', 'hidden_run']
    assert test.main([*words, '--cfg-options', 'test_evaluator.outfile_prefix=mine']) == 0
    tracks = json.loads(Path('mine.json').read_text())
    assert {track['video_id'] for track in tracks} == {v['id'] for v in content['videos']}
    assert np.isfinite([track['score'] for track in tracks]).all()


def test_out_that_cannot_be_written_is_told_before_the_test(write_config, tmp_path, capsys):
    (tmp_path / 'file').write_text('in the way')
    config = write_config('out')
    assert test.main([config, untrained(config), '--out', 'file/all.pkl']) == 1
    assert '--out file/all.pkl: cannot be written' in capsys.readouterr().err
