"""The best encoder that a machine has."""

from __future__ import annotations

import os
import resource
import stat

import cv2
import numpy as np
import pytest

from mmdevis.apis import video_encoders
from mmdevis.apis.video_encoders import (
    CVEncoder,
    EncoderError,
    FFmpegEncoder,
    find_ffmpeg,
    open_encoder,
)
from mmdevis.apis.video_writer import VideoWriter

FRAMES = [np.full((48, 64, 3), 40 * i, np.uint8) for i in range(5)]


@pytest.fixture
def program(tmp_path):
    """Makes a shell script that stands in for ffmpeg."""

    def make(body: str) -> str:
        path = tmp_path / 'ffmpeg'
        path.write_text(f'#!/bin/sh\n{body}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return make


def read(path) -> tuple[str, list[int]]:
    capture, values = cv2.VideoCapture(str(path)), []
    fourcc = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, 'little').decode()
    while True:
        ok, frame = capture.read()
        if not ok:
            return fourcc, values
        values.append(round(float(frame.mean()) / 40))


@pytest.mark.skipif(find_ffmpeg() is None, reason='needs ffmpeg or the package imageio-ffmpeg')
# A colon would mean a protocol to ffmpeg.
@pytest.mark.parametrize('name', ['a.mp4', 'a:b c.mp4', "it's %d.mp4"])
def test_h264_by_ffmpeg(tmp_path, name):
    with VideoWriter(tmp_path / name, fps=12.5) as writer:
        for frame in FRAMES:
            writer.write(frame)
    assert writer.codec == 'avc1' and 'H.264 (ffmpeg' in writer.description
    fourcc, values = read(tmp_path / name)
    assert fourcc.lower() in ('h264', 'avc1') and values == list(range(5))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_without_ffmpeg_opencv_writes_what_it_can(tmp_path, monkeypatch):
    monkeypatch.setattr(video_encoders, 'find_ffmpeg', lambda: None)
    with VideoWriter(tmp_path / 'a.mp4', fps=10) as writer:
        for frame in FRAMES:
            writer.write(frame)
    assert '(OpenCV)' in writer.description
    fourcc, values = read(tmp_path / 'a.mp4')
    expected = {'avc1': ('h264', 'avc1'), 'mp4v': ('mp4v', 'fmp4')}[writer.codec]
    assert fourcc.lower() in expected and values == list(range(5))


def test_falls_back_to_mpeg4_where_opencv_lacks_h264(tmp_path, monkeypatch):
    def build(path, fps, size, codec):
        if codec == 'avc1':
            raise EncoderError('not in this build')
        return CVEncoder(path, fps, size, codec)

    monkeypatch.setattr(video_encoders, 'find_ffmpeg', lambda: None)
    monkeypatch.setattr(video_encoders, 'CVEncoder', build)
    encoder = open_encoder(tmp_path / 'a.mp4', 10, (64, 48), ('avc1', 'mp4v'))
    encoder.close()
    assert encoder.description == 'MPEG-4 Part 2 (OpenCV)'


@pytest.mark.parametrize(
    'listing, expected',
    [(' V....D libx264 H.264', 'libx264'), (' V..... libopenh264 x', 'libopenh264'), ('', None)],
)
def test_ffmpeg_counts_only_with_an_encoder(program, monkeypatch, listing, expected):
    path = program(f"echo '{listing}'")
    monkeypatch.setenv('PATH', os.path.dirname(path), prepend=os.pathsep)
    monkeypatch.setattr(video_encoders.importlib, 'import_module', raise_import_error)
    find_ffmpeg.cache_clear()
    try:
        assert find_ffmpeg() == (None if expected is None else (path, expected))
    finally:
        find_ffmpeg.cache_clear()


def raise_import_error(name):
    raise ImportError(name)


def test_a_broken_ffmpeg_says_why(tmp_path, program):
    path = program("echo 'Unknown encoder libx264' >&2; exit 1")
    encoder = FFmpegEncoder(tmp_path / 'a.mp4', 10, (64, 48), path, 'libx264')
    with pytest.raises(EncoderError, match='status 1: Unknown encoder libx264'):
        for _ in range(200):  # until the pipe is full
            encoder.write(FRAMES[0])
        encoder.close()
    encoder.abort()


def test_the_writer_names_the_file_and_leaves_none(tmp_path, program, monkeypatch):
    path = program("echo 'no space left' >&2; exit 1")
    monkeypatch.setattr(video_encoders, 'find_ffmpeg', lambda: (path, 'libx264'))
    with (
        pytest.raises(EncoderError, match=r'a\.mp4.*no space left'),
        VideoWriter(tmp_path / 'a.mp4', fps=10) as writer,
    ):
        for frame in FRAMES:
            writer.write(frame)
    assert [p.name for p in tmp_path.iterdir()] == ['ffmpeg']


def test_aborting_ends_the_program(tmp_path, program):
    encoder = FFmpegEncoder(tmp_path / 'a.mp4', 10, (64, 48), program('sleep 60'), 'libx264')
    encoder.abort()
    assert encoder._process.poll() is not None
    encoder.abort()


def test_full_disk_leaves_no_video(tmp_path, monkeypatch):
    monkeypatch.setattr(video_encoders, 'find_ffmpeg', lambda: None)
    # A limit on the size of files makes every write fail from some point on, as a full disk does.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    rng = np.random.default_rng(0)
    writer = VideoWriter(tmp_path / 'a.mp4', fps=10)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        for _ in range(20):
            writer.write(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        with pytest.raises(RuntimeError, match=r'a\.mp4: \d+ of 20 frames .* is it full'):
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
