"""Tools that draw: choices and errors (docs/inference.md's commands run in tests/test_docs)."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import pytest
from mmengine.registry import DefaultScope

ROOT = Path(__file__).parents[2]


def tool(name):
    path = ROOT / 'tools/analysis_tools' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


browse, curves, tracks, attention = map(
    tool, ('browse_dataset', 'plot_curves', 'draw_tracks', 'visualize_attention')
)


@pytest.fixture
def config(demo_config_file):
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield str(demo_config_file)


def read(folder):
    return {path.name: cv2.imread(str(path)) for path in sorted(folder.iterdir())}


def test_browsing_repeats_with_new_augmentation_and_is_deterministic(config, tmp_path):
    words = [config, '--indices', '0', '3', '--repeat', '6', '--tile-width', '80']
    for name in 'ab':
        assert browse.main([*words, '--out', str(tmp_path / name)]) == 0
    first, second = read(tmp_path / 'a'), read(tmp_path / 'b')
    assert list(first) == [
        f'clip_{i:06d}_video_{v}_{turn}.jpg' for i, v in ((0, 1), (3, 2)) for turn in range(6)
    ]
    assert all((first[name] == second[name]).all() for name in first)
    clip = [picture for name, picture in first.items() if name.startswith('clip_000000')]
    assert len({picture.tobytes() for picture in clip}) == 2  # flipped or not


def test_browsing_whole_videos_and_joint_sets(config, demo_config, tmp_path):
    words = [config, '--split', 'val', '--number', '5', '--frames', '4', '--columns', '2']
    assert browse.main([*words, '--tile-width', '80', '--out', str(tmp_path / 'val')]) == 0
    pictures = read(tmp_path / 'val')
    assert list(pictures) == ['clip_000000_video_1.jpg', 'clip_000001_video_2.jpg']
    assert pictures['clip_000000_video_1.jpg'].shape == (24 + 2 * 48 + 4, 2 * 80 + 4, 3)
    one = demo_config.train_dataloader.dataset
    demo_config.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[one, one])
    joint = tmp_path / 'joint.py'
    demo_config.dump(joint)
    assert browse.main([str(joint), '--number', '1', '--out', str(tmp_path / 'joint')]) == 0
    assert len(read(tmp_path / 'joint')) == 1


def test_browsing_in_a_window(config, monkeypatch):
    shown = []
    monkeypatch.setattr(cv2, 'imshow', lambda title, picture: shown.append(picture))
    monkeypatch.setattr(cv2, 'waitKey', lambda milliseconds: shown.append(milliseconds))
    assert browse.main([config, '--show', '--number', '1', '--wait-time', '0.1']) == 0
    assert shown[1:] == [100]


@pytest.mark.parametrize(
    'words, message',
    [
        (['--indices', '99', '--out', 'x'], 'sample 99'),
        (['--out', 'x', '--cfg-options', 'train_dataloader.dataset.ann_file=no.json'], 'no.json'),
    ],
)
def test_browsing_errors(config, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert browse.main([config, *words]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def results(synthvis_root, tmp_path):
    """Ground truth as results, scores 0.9 and falling, and the command line to draw them."""
    truth_file = synthvis_root / 'annotations/valid_ytvis.json'
    found = [
        dict(
            video_id=track['video_id'],
            category_id=track['category_id'],
            score=0.9 - 0.01 * number,
            segmentations=track['segmentations'],
        )
        for number, track in enumerate(json.loads(truth_file.read_text())['annotations'])
    ]
    images = synthvis_root / 'valid/JPEGImages'
    words = [str(truth_file), '--images', str(images), '--out', str(tmp_path / 'drawn')]
    return found, words


def write(path, content):
    path.write_text(json.dumps(content))
    return str(path)


def test_several_results_beside_the_truth(results, tmp_path):
    found, words = results
    files = ['same=' + write(tmp_path / 'r.json', found), write(tmp_path / 'none.json', [])]
    sizes = ['--frames', '4', '--columns', '2', '--tile-width', '400', '--videos', '2']
    assert tracks.main([*words, '--results', *files, *sizes]) == 0
    (picture,) = read(tmp_path / 'drawn').values()
    block = 2 * 400 + 4
    assert picture.shape == (24 + 2 * 240 + 4, 3 * block + 2 * 12, 3)
    same, nothing, truth = (
        picture[24:, i * (block + 12) :][:, :block].astype(int) for i in range(3)
    )
    # Masks at the same places; only the scores in the labels differ.
    assert abs(same - truth).mean() < 0.3 * abs(nothing - truth).mean()


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda r: r[0].pop('score'), 'track 0 has no score'),
        (lambda r: r[0]['segmentations'].pop(), '5 masks, but the video has 6 frames'),
        (lambda r: r[0].update(category_id=77), 'category 77'),
        (
            lambda r: r[0].update(
                segmentations=[dict(size=[2, 2], counts='04')] * 6,
            ),
            'mask is',
        ),
    ],
)
def test_results_that_do_not_fit(results, tmp_path, capsys, change, message):
    found, words = results
    change(found)
    assert tracks.main([*words, '--results', write(tmp_path / 'r.json', found)]) == 2
    assert message in capsys.readouterr().err


def test_drawing_errors(results, tmp_path, capsys):
    _, words = results
    (tmp_path / 'cut.json').write_text('[{"video_id"')
    for more, message in (
        (['--videos', '9'], 'no video [9]'),
        (['--results', 'gone.json'], 'gone.json'),
        (['--results', str(tmp_path / 'cut.json')], 'not valid json'),
        (['--results', write(tmp_path / 'dict.json', {})], 'expected a list'),
    ):
        assert tracks.main([*words, *more]) == 2
        assert message in capsys.readouterr().err


def test_comparing_runs(tmp_path, capsys):
    for name in ('first', 'second'):
        logs = tmp_path / name / '2025/vis_data'
        logs.mkdir(parents=True)
        lines = [dict(step=1, loss=2.0, loss_mask=1.0, lr=0.1), {'step': 1, 'youtube_vis/AP': 0.25}]
        (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    runs = [str(tmp_path / 'first'), str(tmp_path / 'second')]
    out = tmp_path / 'new/curves.png'
    assert curves.main([*runs, '--out', str(out)]) == 0
    printed = capsys.readouterr().out
    assert 'first: loss 2, loss_mask 1, youtube_vis/AP 0.25' in printed
    assert 'second: loss 2' in printed
    assert [p.name for p in out.parent.iterdir()] == ['curves.png']
    assert curves.main([*runs, '--list', '--out', str(out)]) == 0
    assert 'lr' in capsys.readouterr().out
    for words, message in (
        ([*runs, '--keys', 'AP'], 'no run logged AP; there is:'),
        ([runs[0], runs[0]], 'named twice'),
        ([str(tmp_path / 'gone')], 'has no */vis_data/scalars.json'),
    ):
        assert curves.main([*words, '--out', str(out)]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        curves.main([*runs, '--legend', 'one', '--out', str(out)])


@pytest.mark.parametrize(
    'words, message',
    [
        (['--start', '4'], 'only 2 from frame 4'),
        (['--class-name', 'cat'], 'give --class-names'),
        (['--query', '10'], '--query 10: there are 10'),
        (['--pixel', '1.5', '0'], 'outside the frame'),
        (['--weights', 'gone.pth'], 'gone.pth'),
    ],
)
def test_attention_errors(config, synthvis_root, tmp_path, capsys, words, message):
    video = str(synthvis_root / 'valid/JPEGImages/valid_00000')
    assert attention.main([video, config, '--out', str(tmp_path / 'out'), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_attention_of_a_chosen_query(config, synthvis_root, tmp_path, capsys):
    video = str(synthvis_root / 'valid/JPEGImages/valid_00000')
    words = [video, config, '--out', str(tmp_path / 'out'), '--query', '-1', '--head', '1']
    assert attention.main([*words, '--class-names', 'disc', 'triangle', 'ring', 'cross']) == 0
    assert 'trajectory 9, ' in capsys.readouterr().out
    assert len(list((tmp_path / 'out').iterdir())) == 3
