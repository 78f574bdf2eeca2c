"""Video files are complete or not there."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmdevis.apis.video_writer import VideoWriter


def frames(number: int = 5, size=(48, 64)) -> list[np.ndarray]:
    return [np.full((*size, 3), 40 * i, np.uint8) for i in range(number)]


def read(path) -> tuple[list[np.ndarray], float]:
    capture = cv2.VideoCapture(str(path))
    fps, result = capture.get(cv2.CAP_PROP_FPS), []
    while True:
        ok, frame = capture.read()
        if not ok:
            return result, fps
        result.append(frame)


def names(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize('size', [(48, 64), (47, 63)])
def test_frames_come_back(tmp_path, size):
    path = tmp_path / 'new' / 'a.mp4'
    with VideoWriter(path, fps=12.5) as writer:
        for frame in frames(size=size):
            writer.write(frame)
        assert not path.exists()  # not before it is complete
    assert writer.num_frames == 5 and writer.codec in VideoWriter.codecs
    result, fps = read(path)
    assert fps == pytest.approx(12.5)
    assert [f.shape for f in result] == [(48, 64, 3)] * 5
    assert [round(float(f.mean()) / 40) for f in result] == list(range(5))
    assert names(path.parent) == ['a.mp4']


def test_exception_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / 'a.mp4', fps=10) as writer:
        writer.write(frames()[0])
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_existing_file_stays_unless_forced(tmp_path):
    path = tmp_path / 'a.mp4'
    path.write_text('precious')
    with pytest.raises(FileExistsError, match='a.mp4 exists already.*force'):
        VideoWriter(path, fps=10)
    with pytest.raises(ZeroDivisionError), VideoWriter(path, fps=10, force=True) as writer:
        writer.write(frames()[0])
        raise ZeroDivisionError
    assert path.read_text() == 'precious'
    with VideoWriter(path, fps=10, force=True) as writer:
        writer.write(frames()[0])
    assert len(read(path)[0]) == 1


def test_frame_of_another_size(tmp_path):
    with (
        pytest.raises(ValueError, match=r'frame 1: size \(50, 64\).*\(48, 64\)'),
        VideoWriter(tmp_path / 'a.mp4', fps=10) as writer,
    ):
        writer.write(frames()[0])
        writer.write(frames(size=(50, 64))[0])
    assert names(tmp_path) == []


@pytest.mark.parametrize('frame', [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_frame_of_another_kind(tmp_path, frame):
    with pytest.raises(ValueError, match='frame 0: expected uint8'):
        VideoWriter(tmp_path / 'a.mp4', fps=10).write(frame)


def test_no_frame(tmp_path):
    with pytest.raises(RuntimeError, match='no frame'), VideoWriter(tmp_path / 'a.mp4', fps=10):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize('name, fps', [('a.avi', 10), ('a', 10), ('a.mp4', 0), ('a.mp4', np.nan)])
def test_wrong_arguments(tmp_path, name, fps):
    with pytest.raises(ValueError, match=name):
        VideoWriter(tmp_path / name, fps=fps)


def test_use_after_the_end(tmp_path):
    writer = VideoWriter(tmp_path / 'a.mp4', fps=10)
    writer.write(frames()[0])
    writer.close()
    writer.close()
    with pytest.raises(RuntimeError, match='closed'):
        writer.write(frames()[0])
    assert names(tmp_path) == ['a.mp4']


def test_no_codec(tmp_path, monkeypatch):
    monkeypatch.setattr(VideoWriter, 'codecs', ('zzzz',))
    with pytest.raises(RuntimeError, match='neither of zzzz|can write'):
        VideoWriter(tmp_path / 'a.mp4', fps=10).write(frames()[0])
