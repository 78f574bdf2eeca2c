"""What is in the page; `test_result_page_in_browser.py` looks at what it does."""

from __future__ import annotations

import base64
import html.parser
import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmdevis.structures import encode_masks
from mmdevis.visualization import ResultPageWriter, track_colour
from mmdevis.visualization.page_tracks import PageTrack, mask_outlines, match_tracks, volume_iou

sys.path.insert(0, str(Path(__file__).parent))
from page_video import LENGTH, NASTY, SIZE, found, picture, square, truth


def write(path, length=LENGTH, **options) -> str:
    with ResultPageWriter(path, NASTY, 10, class_names=(NASTY, 'dog'), **options) as page:
        for index in range(length):
            page.add(picture(index), found(index))
    return path.read_text(encoding='utf-8')


class Elements(html.parser.HTMLParser):
    """Collects tags with their attributes, and the texts of script elements by id."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self._script = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._script = dict(attrs).get('id', 'code') if tag == 'script' else None

    def handle_endtag(self, tag):
        self._script = None

    def handle_data(self, data):
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, '') + data


@pytest.fixture
def page(tmp_path):
    return write(tmp_path / 'index.html', truth=truth(), truth_names=('cat',))


def test_one_file_that_fetches_nothing(page, tmp_path):
    assert [path.name for path in tmp_path.iterdir()] == ['index.html']
    elements = Elements(page)
    used = [
        v for _, attrs in elements.tags for k, v in attrs.items() if k in ('src', 'href', 'data')
    ]
    assert used == [] and 'link' not in dict(elements.tags)
    policy = next(a['content'] for t, a in elements.tags if a.get('http-equiv'))
    assert "default-src 'none'" in policy
    assert not re.search(
        r'(https?:)?//(?!www\.w3\.org/2000/svg)[a-z]+\.[a-z]+/', elements.scripts['code']
    )
    assert not re.search(r'url\(|@import', page)


def test_texts_stay_texts(page):
    elements = Elements(page)
    assert set(elements.scripts) == {'frames', 'result', 'code'}
    assert 'img' not in dict(elements.tags)
    result = json.loads(elements.scripts['result'])
    assert result['title'] == NASTY and result['tracks'][0]['name'] == NASTY


def test_frames_are_in_the_page(page):
    frames = json.loads(Elements(page).scripts['frames'])
    assert len(frames) == LENGTH
    for index, uri in enumerate(frames):
        kind, _, data = uri.partition(';base64,')
        assert kind in ('data:image/webp', 'data:image/jpeg')
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (*SIZE, 3)
        assert np.abs(image.astype(int) - picture(index)).mean() < 6


def test_tracks_and_truth(page):
    result = json.loads(Elements(page).scripts['result'])
    first, second = result['tracks']  # the third scores too little
    assert (first['number'], second['number'], second['name']) == (0, 2, 'dog')
    assert list(map(int, second['shapes'])) == [3, 4]
    assert second['scores'] == {'3': 0.5, '4': 0.5} and first['score'] == pytest.approx(0.9)
    blue, green, red = track_colour(2)
    assert second['colour'] == f'#{red:02x}{green:02x}{blue:02x}'
    matched, missed = result['truth']
    assert first['match'] == {'row': 0, 'iou': round(19 / 21, 4)}
    assert matched['match']['row'] == 0 and matched['colour'] == first['colour']
    assert second['match'] is None and missed['match'] is None
    assert missed['colour'] != matched['colour'] and missed['name'] == 'cat'


def test_wide_frames_become_smaller_and_outlines_stay(tmp_path):
    text = write(tmp_path / 'a.html', width=50)
    scripts = Elements(text).scripts
    _, _, data = json.loads(scripts['frames'])[0].partition(';base64,')
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (30, 50, 3)
    result = json.loads(scripts['result'])
    assert (result['width'], result['height']) == (100, 60) and result['truth'] is None
    assert max(result['tracks'][1]['shapes']['3'][0]) == 89


def test_jpeg_where_opencv_lacks_webp(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, 'haveImageWriter', lambda name: False)
    assert '"data:image/jpeg;base64,' in write(tmp_path / 'a.html', length=1)


def test_complete_or_not_there(tmp_path):
    path = tmp_path / 'new' / 'index.html'
    with pytest.raises(ZeroDivisionError), ResultPageWriter(path, 'a', 10) as page:
        page.add(picture(0), found(0))
        raise ZeroDivisionError
    assert list(path.parent.iterdir()) == []
    with pytest.raises(RuntimeError, match='no frame'), ResultPageWriter(path, 'a', 10):
        pass
    write(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match='--force'):
        ResultPageWriter(path, 'a', 10)
    with pytest.raises(ZeroDivisionError), ResultPageWriter(path, 'a', 10, force=True) as page:
        page.add(picture(0), found(0))
        raise ZeroDivisionError
    assert path.read_bytes() == before
    assert len(write(path, length=2, force=True)) < len(before)
    with pytest.raises(RuntimeError, match='closed'):
        page.add(picture(0), found(0))


def test_wrong_arguments(tmp_path):
    for options in (dict(fps=0), dict(fps=float('nan')), dict(fps=10, width=0)):
        with pytest.raises(ValueError, match='must be positive'):
            ResultPageWriter(tmp_path / 'a.html', 'a', **options)
    with (
        pytest.raises(ValueError, match=r'ground truth of frame 0 is \(60, 100\), the video \(30,'),
        ResultPageWriter(tmp_path / 'a.html', 'a', 10, truth=truth()) as page,
    ):
        page.add(picture(0)[:30], found(0))
    with (
        pytest.raises(ValueError, match=r'frame 0: the mask of track 0 is \(60, 100\)'),
        ResultPageWriter(tmp_path / 'a.html', 'a', 10) as page,
    ):
        page.add(picture(0)[:30], found(0))
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------ outlines
def filled(outlines) -> np.ndarray:
    """Fills by the even-odd rule, outlines included, as the page draws them."""
    image = np.zeros(SIZE, np.uint8)
    points = [np.array(outline).reshape(-1, 1, 2) for outline in outlines]
    if points:
        cv2.drawContours(image, points, -1, 1, cv2.FILLED)
    return image.astype(bool)


def rle(mask):
    return encode_masks(torch.from_numpy(mask)[None])[0]


def test_outlines_of_parts_and_holes():
    mask = square(5, 5, 30) | square(40, 70, 10)
    mask[15:25, 15:25] = False
    outlines = mask_outlines(rle(mask))
    assert len(outlines) == 3 and all(len(outline) % 2 == 0 for outline in outlines)
    assert (filled(outlines) != mask).mean() < 0.01
    assert mask_outlines(rle(np.zeros(SIZE, bool))) == []


@given(arrays(bool, (3, 5)))
def test_outlines_of_any_blobs(blobs):
    mask = np.kron(blobs, np.ones((20, 20), bool))
    outlines = mask_outlines(rle(mask))
    assert (outlines == []) == (not blobs.any())
    inside = filled(outlines)
    # Corners may be cut where blobs touch; the middle of each is what it is.
    assert np.array_equal(inside[10::20, 10::20], blobs)


def page_track(masks: dict[int, np.ndarray]) -> PageTrack:
    track = PageTrack(0, 0, 1.0)
    for frame, mask in masks.items():
        track.add(frame, rle(mask), 1.0)
    return track


def test_overlap_over_all_frames():
    first = page_track({0: square(0, 0), 1: square(0, 0)})
    second = page_track({0: square(0, 10), 2: square(0, 0)})
    assert volume_iou(first, second) == pytest.approx(200 / (400 * 4 - 200))
    assert volume_iou(first, first) == 1
    assert volume_iou(page_track({}), page_track({})) == 0


@given(st.integers(0, 4), st.integers(0, 4))
def test_matching_is_one_to_one(num_tracks, num_truth):
    tracks = [page_track({0: square(0, 15 * i)}) for i in range(num_tracks)]
    matches = match_tracks(tracks, tracks[:num_truth][::-1])
    true = min(num_tracks, num_truth)
    assert sorted(matches) == [(i, true - 1 - i, 1.0) for i in range(true)]
