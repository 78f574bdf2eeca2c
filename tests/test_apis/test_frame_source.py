"""Frames of everything that is a video."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdevis.apis.frame_source import CaptureSource, FrameError, natural_key, open_frames
from mmdevis.apis.video_writer import VideoWriter

NUM = 12


@pytest.fixture
def arrays():
    return [np.full((48, 64, 3), 10 + 15 * i, np.uint8) for i in range(NUM)]


@pytest.fixture
def video(tmp_path, arrays):
    path = tmp_path / 'clip one.mp4'
    with VideoWriter(path, fps=20) as writer:
        for frame in arrays:
            writer.write(frame)
    return path


@pytest.fixture
def folder(tmp_path, arrays):
    folder = tmp_path / 'frames'
    folder.mkdir()
    for i, frame in enumerate(arrays):
        cv2.imwrite(str(folder / f'{i}.png'), frame)  # 10 sorts before 2 as text
    (folder / 'notes.txt').write_text('not a picture')
    (folder / '._0.png').write_text('left by another system')
    return folder


def numbers(source) -> list[int]:
    return [round((float(frame.mean()) - 10) / 15) for frame in source]


def test_video_file(video):
    with open_frames(video) as source:
        assert (len(source), source.fps, source.name) == (NUM, 20, 'clip one')
        frames = list(source)
    assert numbers(frames) == list(range(NUM))
    assert frames[0].shape == (48, 64, 3) and frames[0].dtype == np.uint8


def test_folder_in_natural_order(folder):
    source = open_frames(str(folder))
    assert (len(source), source.fps, source.name) == (NUM, None, 'frames')
    assert numbers(source) == list(range(NUM))
    assert numbers(source) == list(range(NUM))  # and again


def test_pattern_list_and_single_picture(folder):
    assert numbers(open_frames(str(folder / '1*.png'))) == [1, 10, 11]
    paths = [folder / '3.png', str(folder / '1.png')]
    assert numbers(open_frames(paths)) == [3, 1]
    single = open_frames(folder / '5.png')
    assert (numbers(single), len(single), single.name) == ([5], 1, '5')


def test_arrays_in_every_form(arrays):
    expected = list(range(NUM))
    assert numbers(open_frames(arrays)) == expected
    assert numbers(open_frames(np.stack(arrays))) == expected
    source = open_frames(frame for frame in arrays)
    assert source.num_frames is None and bool(source)
    with pytest.raises(TypeError, match='not known'):
        len(source)
    assert numbers(source) == expected


def test_frames_are_read_when_they_are_asked_for(arrays):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield arrays[0]

    source = iter(open_frames(endless()))
    next(source)
    next(source)
    assert len(taken) == 2


def test_missing(tmp_path):
    with pytest.raises(FrameError, match='nowhere.mp4 does not exist'):
        open_frames(tmp_path / 'nowhere.mp4')
    with pytest.raises(FrameError, match=r'no file matches .*\*.png'):
        open_frames(str(tmp_path / '*.png'))
    with pytest.raises(FrameError, match='frame 0, file .*gone.png does not exist'):
        list(open_frames([tmp_path / 'gone.png']))


def test_folder_without_pictures_names_its_folders(tmp_path):
    (tmp_path / 'video_1').mkdir()
    with pytest.raises(FrameError, match='has no picture.*video_1'):
        open_frames(tmp_path)


@pytest.mark.parametrize('content', [b'', b'this is not a video at all'])
def test_file_that_is_no_video(tmp_path, content):
    path = tmp_path / 'a.mp4'
    path.write_bytes(content)
    with pytest.raises(FrameError, match=f'a.mp4 cannot be opened: {len(content)} bytes'):
        open_frames(path)


def test_truncated_video_does_not_open(video):
    data = video.read_bytes()
    video.write_bytes(data[: len(data) // 2])
    with pytest.raises(FrameError, match='clip one.mp4'):
        open_frames(video)


def test_video_without_a_frame_that_can_be_decoded(video):
    data = video.read_bytes()
    start = data.index(b'mdat')
    size = int.from_bytes(data[start - 4 : start], 'big') - 8  # of what follows the name
    video.write_bytes(data[: start + 4] + bytes(size) + data[start + 4 + size :])  # a hole
    with pytest.raises(FrameError, match=r'clip one\.mp4 has no frame that can be decoded'):
        open_frames(video)


def test_video_that_ends_early_warns(video):
    source = open_frames(video)
    source.num_frames = NUM + 3  # what a damaged container would say
    with pytest.warns(UserWarning, match='15 frames, but only 12'):
        assert len(list(source)) == NUM


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_truncated_picture_names_the_frame(folder, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    path = folder / f'20{suffix}'
    cv2.imwrite(str(path), noise)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(FrameError, match=rf'frame 12, file .*20{suffix} is truncated'):
        list(open_frames(folder))


def test_file_that_is_no_picture(folder):
    (folder / '20.png').write_text('hello')
    with pytest.raises(FrameError, match=r'frame 12, file .*20.png cannot be decoded'):
        list(open_frames(folder))


def test_picture_of_another_size(folder):
    cv2.imwrite(str(folder / '20.png'), np.zeros((50, 60, 3), np.uint8))
    with pytest.raises(FrameError, match=r'frame 12, file .*20.png is 50 x 60.*first.* 48 x 64'):
        list(open_frames(folder))


@pytest.mark.parametrize(
    'frame, message',
    [
        (np.zeros((48, 60, 3), np.uint8), 'frame 1 is 48 x 60.*48 x 64'),
        (np.zeros((48, 64), np.uint8), r'frame 1 is uint8 of shape \(48, 64\)'),
        (np.zeros((48, 64, 3)), 'frame 1 is float64'),
        ('gone.png', 'frame 1, file gone.png does not exist'),
        (None, 'frame 1 is a NoneType'),
    ],
)
def test_faulty_item(arrays, frame, message):
    with pytest.raises(FrameError, match=message):
        list(open_frames([arrays[0], frame]))


def test_no_frame_at_all():
    for empty in ([], iter(()), np.zeros((0, 4, 4, 3), np.uint8)):
        with pytest.raises(FrameError, match='has no frame'):
            list(open_frames(empty))


@pytest.mark.parametrize('source', [None, True, 3.5, b'video.mp4'])
def test_not_a_source(source):
    with pytest.raises(TypeError, match='not a source'):
        open_frames(source)


def test_array_that_is_one_picture():
    with pytest.raises(FrameError, match=r'\(T, H, W, 3\)'):
        open_frames(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize('camera', [97, '97'])
def test_no_such_camera(camera):
    with pytest.raises(FrameError, match='camera 97 cannot be opened'):
        open_frames(camera)


class FakeCapture:
    """A camera with three frames."""

    def __init__(self, target):
        self.target, self.left, self.open = target, 3, True

    def isOpened(self):  # noqa: N802 (OpenCV's name)
        return self.open

    def read(self):
        self.left -= 1
        ready = self.left >= 0
        return ready, np.full((4, 6, 3), self.left, np.uint8) if ready else None

    def get(self, prop):
        return -1.0 if prop == cv2.CAP_PROP_FRAME_COUNT else 30.0

    def release(self):
        self.open = False


@pytest.mark.parametrize('camera', [2, '2'])
def test_camera(monkeypatch, camera):
    monkeypatch.setattr(cv2, 'VideoCapture', FakeCapture)
    with open_frames(camera) as source:
        assert (source.num_frames, source.fps, source.name) == (None, 30, 'camera2')
        assert [int(frame[0, 0, 0]) for frame in source] == [2, 1, 0]
        assert source._capture.target == 2
    assert released(source)


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_address(tmp_path, arrays):
    writer = cv2.VideoWriter(
        str(tmp_path / 'clip.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48)
    )
    for frame in arrays:
        writer.write(frame)
    writer.release()
    handler = functools.partial(SilentHandler, directory=tmp_path)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with open_frames(f'http://127.0.0.1:{server.server_port}/clip.avi') as source:
            assert numbers(source) == list(range(NUM))
        server.shutdown()


def test_what_is_open_already_is_taken_as_it_is(folder):
    source = open_frames(folder)
    assert open_frames(source) is source


def test_closing_waits_for_a_read_in_another_thread(monkeypatch):
    inside, go_on = threading.Event(), threading.Event()

    class SlowCapture(FakeCapture):
        def read(self):
            if self.left == 2:
                inside.set()
                go_on.wait()
                assert self.open, 'released while it was read'
            return super().read()

    monkeypatch.setattr(cv2, 'VideoCapture', SlowCapture)
    source, frames = open_frames(0), []
    reader = threading.Thread(target=lambda: frames.extend(source))
    reader.start()
    inside.wait()
    threading.Timer(0.1, go_on.set).start()
    source.close()
    reader.join()
    assert released(source) and len(frames) == 2


def released(source: CaptureSource) -> bool:
    return not source._capture.isOpened()


def test_video_is_released_after_its_end_an_exception_and_close(video):
    ended = open_frames(video)
    list(ended)
    assert released(ended)
    with pytest.raises(RuntimeError, match='only be read once'):
        list(ended)

    failed = open_frames(video)
    with pytest.raises(ZeroDivisionError), failed:
        for _ in failed:
            raise ZeroDivisionError
    assert released(failed)

    unread = open_frames(video)
    unread.close()
    assert released(unread)


@given(st.lists(st.integers(0, 10**6), unique=True, min_size=1, max_size=20))
def test_natural_order_is_numeric(values):
    names = [f'frame_{value}.jpg' for value in values]
    assert sorted(names, key=natural_key) == [f'frame_{value}.jpg' for value in sorted(values)]


@given(st.lists(st.text('ab01-_ ', min_size=1, max_size=8), unique=True, max_size=10))
def test_natural_order_does_not_depend_on_the_order_before(names):
    assert sorted(names, key=natural_key) == sorted(set(names), key=natural_key)


REAL = Path(__file__).parents[3] / 'shared/data/videos'


@pytest.mark.skipif(not REAL.is_dir(), reason='needs ../shared/data/videos, not there')
def test_real_video():
    with open_frames(REAL / 'cutie_example.mp4') as source:
        assert (source.num_frames, source.fps) == (117, 25)
        assert sum(frame.shape == (480, 640, 3) for frame in source) == 117
