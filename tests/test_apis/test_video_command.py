"""The command and its outputs, with a model that takes no time; and once with a real one."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from mmdevis.apis import video_command, video_run
from mmdevis.apis.frame_source import FrameError, open_frames
from mmdevis.apis.video_command import main
from mmdevis.utils.checkpoint import CheckpointError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def boxes(monkeypatch, box_inferencer):
    """Puts the quick model in place of the real one."""
    monkeypatch.setattr(video_command, 'VISInferencer', box_inferencer)
    return box_inferencer


@pytest.fixture
def command(tmp_path, frame_folder, boxes, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *options: main([str(frame_folder), 'config.py', *map(str, options)])


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def outputs_of(folder: Path) -> list[str]:
    return [name for name in names(folder) if not name.startswith('clip/')]


ALL = ('--out', 'a.mp4', '--json', 'r.json', '--masks', 'masks', '--html', 'page')
ALL_FILES = sorted(
    ['a.mp4', 'r.json', 'page/index.html', *(f'masks/{i:06d}.png' for i in range(6))]
)


def read_video(path: Path) -> int:
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        count += 1
    return count


# ------------------------------------------------------------------------------------ outputs
def test_all_outputs_at_once(command, tmp_path, capsys):
    assert command(*ALL) == 0
    assert outputs_of(tmp_path) == ALL_FILES
    assert read_video(tmp_path / 'a.mp4') == 6
    printed = capsys.readouterr()
    assert re.search(r'a\.mp4: 6 frames, (H\.264|MPEG-4)', printed.out)  # says which
    for part in ('r.json: 3 tracks', 'masks: 6 pictures', 'index.html: page with 6 frames'):
        assert part in printed.out
    assert re.search(r'6/6 frames, +[\d.]+ frames/s, 00:00 left', printed.err)


def test_json_holds_every_track_whatever_its_score(command, tmp_path):
    assert command('--json', 'r.json') == 0
    results = json.loads((tmp_path / 'r.json').read_text())
    assert [(r['video_id'], r['category_id']) for r in results] == [(1, 2), (1, 1), (1, 1)]
    assert [round(r['score'], 3) for r in results] == [0.9, 0.6, 0.05]
    assert [s is None for s in results[1]['segmentations']] == [False, True] * 3


def test_ids_come_from_the_ground_truth(command, tmp_path, truth_file):
    (tmp_path / 'gt.json').write_text(json.dumps(truth_file))
    options = ('--json', 'r.json', '--masks', 'm.json', '--ground-truth', 'gt.json')
    assert command(*options) == 0
    results = json.loads((tmp_path / 'r.json').read_text())
    assert [(r['video_id'], r['category_id']) for r in results] == [(7, 20), (7, 30), (7, 30)]
    assert {d['category_id'] for d in json.loads((tmp_path / 'm.json').read_text())} == {20, 30}


def test_classes_that_the_ground_truth_lacks(command, tmp_path, truth_file, capsys):
    (tmp_path / 'gt.json').write_text(json.dumps(truth_file))
    options = ('--ground-truth', 'gt.json', '--class-names', 'cat', 'unicorn')
    assert command('--json', 'r.json', *options) == 1
    assert "no category 'unicorn'" in capsys.readouterr().err
    assert command('--html', 'page', *options) == 0  # needs no ids


def test_mask_pictures(command, tmp_path):
    assert command('--masks', 'masks') == 0
    picture = Image.open(tmp_path / 'masks/000002.png')
    values = np.array(picture)
    assert picture.mode == 'P' and set(np.unique(values)) == {0, 1, 4}  # 4 scores too little
    assert values[12, 7 + 2] == 1 and values[35, 10] == 4
    assert values[16, 10] == 1  # where both are, the one with the higher score
    assert command('--masks', 'all', '--score-thr', 0) == 0
    assert set(np.unique(Image.open(tmp_path / 'all/000002.png'))) == {0, 1, 4, 5}


def test_mask_pictures_with_large_numbers(tmp_path, frames, found_boxes):
    from mmdevis.apis.mask_outputs import MaskFolderOutput

    found = found_boxes(0)
    found.track_ids[0] = 1000
    with MaskFolderOutput(tmp_path / 'masks') as output:
        output.add(frames[0], found)
        output.finish(None)
    values = np.array(Image.open(tmp_path / 'masks/000000.png'))
    assert set(np.unique(values)) == {0, 4, 1001}
    assert np.array_equal(values, cv2.imread(str(tmp_path / 'masks/000000.png'), -1))


def test_coco_masks(command, tmp_path):
    assert command('--masks', 'm.json') == 0
    detections = json.loads((tmp_path / 'm.json').read_text())
    assert len(detections) == 3 * 3 + 3 * 2
    first = detections[0]
    assert first['bbox'] == [5, 10, 10, 10] and first['track_id'] == 0
    assert mask_utils.decode(first['segmentation']).sum() == 100


def test_max_frames(command, tmp_path):
    assert command(*ALL, '--max-frames', 3) == 0
    assert read_video(tmp_path / 'a.mp4') == 3
    assert len(json.loads((tmp_path / 'r.json').read_text())[0]['segmentations']) == 3
    assert len(list((tmp_path / 'masks').iterdir())) == 3


def test_options_reach_the_stream(command, tmp_path, boxes, monkeypatch):
    seen = {}

    def stream(self, source, **options):
        seen.update(options)
        return original(self, source, **options)

    original = boxes.stream
    monkeypatch.setattr(boxes, 'stream', stream)
    assert command('--json', 'r.json') == 0 and seen == dict(keep_masks=False)
    options = '--stride 2 --max-frames 4 --latency low --batch-size 3 --precision bf16'
    more = '--input-size 64 48 --top-k 5 --max-missing 7 --force --json r.json'
    assert command(*options.split(), *more.split()) == 0
    assert seen == dict(
        keep_masks=False,
        stride=2,
        max_frames=4,
        latency='low',
        batch_size=3,
        precision='bf16',
        input_size=[64, 48],
        top_k=5,
        max_missing=7,
    )


# ------------------------------------------------------------------------------------ overwriting
@pytest.mark.parametrize('number', range(4))
def test_nothing_is_overwritten_without_force(command, tmp_path, capsys, number):
    flag, name = ALL[2 * number : 2 * number + 2]
    assert command(flag, name) == 0
    before = {n: (tmp_path / n).read_bytes() for n in outputs_of(tmp_path)}
    capsys.readouterr()
    assert command(flag, name, '--max-frames', 2) == 1
    assert '--force' in capsys.readouterr().err
    assert {n: (tmp_path / n).read_bytes() for n in outputs_of(tmp_path)} == before
    assert command(flag, name, '--max-frames', 2, '--force') == 0
    after = {n: (tmp_path / n).read_bytes() for n in outputs_of(tmp_path)}
    assert after != before and len(after) <= len(before)


def test_one_refused_output_stops_all(command, tmp_path):
    (tmp_path / 'r.json').write_text('precious')
    assert command(*ALL) == 1
    assert outputs_of(tmp_path) == ['r.json']
    assert (tmp_path / 'r.json').read_text() == 'precious'


def test_force_leaves_other_files_in_the_folder_alone(command, tmp_path):
    (tmp_path / 'masks').mkdir()
    for name in ('notes.txt', '000009.png', 'photo.png'):
        (tmp_path / 'masks' / name).write_text('x')
    assert command('--masks', 'masks', '--force') == 0
    kept = {p.name for p in (tmp_path / 'masks').iterdir()}
    assert kept == {'notes.txt', 'photo.png', *(f'{i:06d}.png' for i in range(6))}


@pytest.mark.parametrize(
    'options, message',
    [
        ((), 'nothing to do'),
        (('--json', 'a.json', '--masks', 'a.json'), '--json and --masks both write a.json'),
        (('--json', 'clip', '--force'), 'is the input'),
        (('--out', 'a.avi'), 'only .mp4'),
        (('--json', 'a.json', '--score-thr', '30'), 'must be in 0..1'),
        (('--json', 'a.json', '--max-frames', '0'), 'at least 1'),
        (('--html', 'page', '--html-width', '0'), 'must be positive'),
        (('--html', 'page', '--ground-truth', 'nowhere.json'), 'nowhere.json'),
    ],
)
def test_refused_arguments(command, tmp_path, capsys, options, message):
    assert command(*options) == 1
    assert message in capsys.readouterr().err
    assert outputs_of(tmp_path) == []


# ------------------------------------------------------------------------------------ early ends
def test_ctrl_c_completes_every_file(command, tmp_path, boxes, capsys):
    boxes.on_frame = lambda self, index: signal.raise_signal(signal.SIGINT) if index == 3 else None
    before = signal.getsignal(signal.SIGINT)
    assert command(*ALL) == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert read_video(tmp_path / 'a.mp4') == 4  # what was read until then
    assert len(json.loads((tmp_path / 'r.json').read_text())[0]['segmentations']) == 4
    assert len(list((tmp_path / 'masks').iterdir())) == 4
    assert outputs_of(tmp_path) == [
        n for n in ALL_FILES if n not in ('masks/000004.png', 'masks/000005.png')
    ]
    assert 'Once more: stop at once' in capsys.readouterr().err


def test_ctrl_c_twice_leaves_nothing_behind(command, tmp_path, boxes, capsys):
    def twice(self, index):
        if index >= 3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    boxes.on_frame = twice
    assert command(*ALL) == 130
    # Pictures are final one by one.
    assert outputs_of(tmp_path) == ['masks/000000.png', 'masks/000001.png']
    assert 'stopped at once' in capsys.readouterr().err


def test_a_broken_source_leaves_what_was_final(command, tmp_path, frame_folder, capsys):
    (frame_folder / '4.png').write_text('no picture')
    assert command(*ALL) == 1
    printed = capsys.readouterr()
    assert 'broke off after 3 frames' in printed.err and '4.png' in printed.err
    assert 'a.mp4: 3 frames' in printed.out
    assert read_video(tmp_path / 'a.mp4') == 3
    results = json.loads((tmp_path / 'r.json').read_text())
    assert [len(r['segmentations']) for r in results] == [3, 3, 3]


def test_a_model_that_fails_leaves_what_was_final_and_its_traceback(command, tmp_path, boxes):
    def fail(self, index):
        if index == 2:
            raise ZeroDivisionError

    boxes.on_frame = fail
    with pytest.raises(ZeroDivisionError):
        command(*ALL)
    assert read_video(tmp_path / 'a.mp4') == 1
    assert not [n for n in names(tmp_path) if '.tmp' in n]


def test_an_output_that_fails_does_not_take_the_others_with_it(
    command, tmp_path, monkeypatch, capsys
):
    from mmdevis.apis.result_outputs import VideoOutput

    original, count = VideoOutput.add, []

    def fail(self, frame, found):
        count.append(1)
        if len(count) == 3:
            raise OSError('No space left on device')
        original(self, frame, found)

    monkeypatch.setattr(VideoOutput, 'add', fail)
    assert command(*ALL) == 1
    assert 'No space left' in capsys.readouterr().err
    assert not (tmp_path / 'a.mp4').exists()
    assert len(json.loads((tmp_path / 'r.json').read_text())[0]['segmentations']) == 2
    assert not [n for n in names(tmp_path) if '.tmp' in n]


@pytest.mark.parametrize('error', [FrameError('no'), CheckpointError('no')])
def test_failure_before_the_first_frame_leaves_nothing(command, tmp_path, boxes, error):
    def fail(self, index):
        raise error

    boxes.on_frame = fail
    assert command(*ALL) == 1
    assert outputs_of(tmp_path) == []


# ------------------------------------------------------------------------------------ window
def test_window(command, monkeypatch):
    shown, closed = [], []
    monkeypatch.setenv('DISPLAY', ':0')
    monkeypatch.setattr(cv2, 'imshow', lambda title, picture: shown.append((title, picture)))
    monkeypatch.setattr(cv2, 'waitKey', lambda delay: ord('q') if len(shown) == 2 else -1)
    monkeypatch.setattr(cv2, 'destroyWindow', closed.append)
    assert command('--show', '--json', 'r.json') == 0  # Q is no failure
    # Two were shown, and the model held back one that was read already.
    assert [title for title, _ in shown] == ['clip'] * 3 and closed == ['clip']
    assert (shown[0][1] != 30).any()  # drawn into


def test_window_without_a_screen(command, monkeypatch, capsys):
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    monkeypatch.setattr(sys, 'platform', 'linux')
    assert command('--show') == 1
    assert 'needs a screen' in capsys.readouterr().err


def test_window_of_a_headless_opencv(command, monkeypatch, capsys):
    def imshow(title, picture):
        raise cv2.error('The function is not implemented')

    monkeypatch.setenv('DISPLAY', ':0')
    monkeypatch.setattr(cv2, 'imshow', imshow)
    assert command('--show') == 1
    assert 'this one is headless' in capsys.readouterr().err


# ------------------------------------------------------------------------------------ documents
def documented_commands() -> list[str]:
    texts = [(ROOT / name).read_text() for name in ('README.md', 'docs/video_command.md')]
    blocks = re.findall(r'```(?:bash|sh)\n(.*?)```', '\n'.join(texts), re.S)
    lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
    return [
        line for line in lines if re.match(r'(mmdevis-video|python demo/video_demo\.py) ', line)
    ]


def test_documents_have_commands():
    assert len(documented_commands()) >= 6


@pytest.mark.parametrize('line', documented_commands())
def test_documented_command(line, tmp_path, monkeypatch, boxes, frames, truth_file):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('DISPLAY', ':0')
    monkeypatch.setattr(cv2, 'imshow', lambda *_: None)
    monkeypatch.setattr(cv2, 'waitKey', lambda delay: -1)
    monkeypatch.setattr(cv2, 'destroyWindow', lambda *_: None)
    monkeypatch.setattr(video_command, 'open_frames', lambda target: open_frames(frames))
    Path('instances.json').write_text(json.dumps(truth_file))
    run = 'work_dirs/demo/devis_r18_1xb4-demo_synthvis'
    words = shlex.split(line.replace('$RUN', run), comments=True)
    arguments = words[2:] if words[0] == 'python' else words[1:]
    # A run leaves a copy of its config under the config's name.
    assert (ROOT / 'configs/devis' / Path(arguments[1]).name).is_file()
    assert run + '/' in arguments[1]
    for number, word in enumerate(arguments):
        if word == '--ground-truth':
            arguments[number + 1] = 'instances.json'
    assert main(['--gt-video', 'clip', *arguments]) == 0


def test_console_script_is_this_command():
    from importlib.metadata import entry_points

    found = entry_points(group='console_scripts', name='mmdevis-video')
    assert {point.load() for point in found} == {main}


# ------------------------------------------------------------------------------------ real model
def test_real_model(tmp_path, frame_folder, demo_config_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = [str(frame_folder), str(demo_config_file), '--device', 'cpu', '--score-thr', '0']
    assert main([*arguments, *ALL]) == 0
    assert outputs_of(tmp_path) == ALL_FILES
    results = json.loads((tmp_path / 'r.json').read_text())
    assert results and {len(r['segmentations']) for r in results} == {6}


def test_pairs_are_frames_with_their_own_results(frames, box_inferencer):
    with open_frames(frames) as source:
        pairs = list(video_run.paired_frames(box_inferencer(), source))
    assert [int(frame[0, 0, 0]) for frame, _ in pairs] == [30 + 20 * i for i in range(6)]
    assert [found.frame_index for _, found in pairs] == list(range(6))
