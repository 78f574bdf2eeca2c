"""Results as other tools want them: those tools take them."""

from __future__ import annotations

import builtins
import copy
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdevis.apis.result_converters import (
    TrackCollector,
    to_coco,
    to_supervision,
    to_youtube_vis,
)
from mmdevis.apis.vis_inferencer import VideoResult
from mmdevis.structures import FrameTracks, Track, encode_masks

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools' / 'analysis_tools'))
import eval_results


@pytest.fixture
def result(found_boxes):
    frames = [found_boxes(index) for index in range(6)]
    collector = TrackCollector()
    for found in frames:
        collector.add(found)
    return VideoResult(frames, collector.tracks(), ('cat', 'dog'))


# ------------------------------------------------------------------------------------ YouTube-VIS
def test_youtube_vis_results_are_scored(result, truth_file, tmp_path, capsys):
    results = to_youtube_vis(result, video_id=7, category_ids=(30, 20))
    (tmp_path / 'r.json').write_text(json.dumps(results))
    (tmp_path / 'gt.json').write_text(json.dumps(truth_file))
    arguments = [str(tmp_path / name) for name in ('r.json', 'gt.json')]
    assert eval_results.main([*arguments, '--json', str(tmp_path / 'm.json')]) == 0
    metrics = json.loads((tmp_path / 'm.json').read_text())
    assert metrics['AP'] == pytest.approx(1.0)  # track 4 is wrong, but scores least
    wrong = copy.deepcopy(results)
    wrong[0]['category_id'] = 30
    (tmp_path / 'r.json').write_text(json.dumps(wrong))
    assert eval_results.main([*arguments, '--json', str(tmp_path / 'm.json')]) == 0
    assert json.loads((tmp_path / 'm.json').read_text())['AP'] < 0.6


def test_tracks_without_masks_are_put_together_from_frames(result):
    expected = to_youtube_vis(result)
    bare = [Track(t.track_id, t.label, t.score) for t in result.tracks]
    assert to_youtube_vis(VideoResult(result.frames, bare)) == expected
    # What the tracker dropped at the end is no result.
    assert to_youtube_vis(VideoResult(result.frames, bare[:1])) == expected[:1]


def test_labels_without_a_category(result):
    with pytest.raises(ValueError, match='label 1 was found, but category_ids has only 1'):
        to_youtube_vis(result, category_ids=(3,))


@settings(max_examples=25)
@given(st.data())
def test_every_mask_of_every_track_comes_back(data):
    length = data.draw(st.integers(1, 4))
    frames = []
    for index in range(length):
        ids = data.draw(st.lists(st.integers(0, 5), unique=True, max_size=3).map(sorted))
        seeds = data.draw(st.lists(st.integers(0, 99), min_size=len(ids), max_size=len(ids)))
        # A seed of 0 is an empty mask.
        masks = [np.random.RandomState(s).rand(5, 7) < 0.4 * (s > 0) for s in seeds]
        stacked = np.stack(masks) if masks else np.zeros((0, 5, 7), bool)
        numbers = torch.tensor(ids, dtype=torch.long)
        scores = torch.linspace(0.1, 0.9, len(ids))
        rles = encode_masks(torch.from_numpy(stacked))
        frames.append(FrameTracks(index, numbers, numbers % 3, scores, rles))
    collector = TrackCollector()
    for found in frames:
        collector.add(found)
    tracks = collector.tracks()
    results = json.loads(json.dumps(to_youtube_vis(VideoResult(frames, tracks))))
    detections = json.loads(json.dumps(to_coco(frames)))
    assert len(results) == len({i for f in frames for i in f.track_ids.tolist()})
    seen = 0
    for track, entry in zip(tracks, results):
        assert len(entry['segmentations']) == length
        for found in frames:
            rows = (found.track_ids == track.track_id).nonzero()[:, 0].tolist()
            decoded = [mask_utils.decode(found.masks[row]) for row in rows]
            written = entry['segmentations'][found.frame_index]
            if decoded and decoded[0].any():
                seen += 1
                assert np.array_equal(mask_utils.decode(written), decoded[0])
                (same,) = [
                    d
                    for d in detections
                    if (d['image_id'], d['track_id']) == (found.frame_index, track.track_id)
                ]
                assert same['segmentation'] == written
            else:
                assert written is None
    assert len(detections) == seen


# ------------------------------------------------------------------------------------ COCO
def test_coco_results_load_and_score(result):
    detections = to_coco(result.frames, image_ids=range(100, 106), category_ids=(30, 20))
    truth = [
        dict(d, id=i + 1, area=float(mask_utils.area(d['segmentation'])), iscrowd=0)
        for i, d in enumerate(detections)
        if d['track_id'] != 4
    ]
    coco = COCO()
    coco.dataset = dict(
        info={},
        images=[dict(id=100 + i, height=48, width=64) for i in range(6)],
        categories=[dict(id=30, name='cat'), dict(id=20, name='dog')],
        annotations=copy.deepcopy(truth),
    )
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(json.loads(json.dumps(detections))), 'segm')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_coco_boxes_and_defaults(found_boxes):
    detections = to_coco([found_boxes(3)])
    assert [(d['image_id'], d['track_id'], d['category_id']) for d in detections] == [
        (3, 0, 2),
        (3, 4, 1),
    ]
    assert detections[0]['bbox'] == [8, 10, 10, 10]
    assert detections[0]['score'] == pytest.approx(0.9)


# ------------------------------------------------------------------------------------ supervision
def test_supervision(found_boxes):
    sv = pytest.importorskip('supervision', reason='needs the package supervision')
    found = found_boxes(2)
    found.masks[2] = encode_masks(torch.zeros(1, 48, 64, dtype=torch.bool))[0]
    detections = to_supervision(found, ('cat',))
    assert isinstance(detections, sv.Detections) and len(detections) == 2
    assert detections.xyxy.tolist() == [[7, 10, 17, 20], [8, 15, 20, 40]]
    assert detections.tracker_id.tolist() == [0, 3]
    assert detections.class_id.tolist() == [1, 0]
    assert detections['class_name'].tolist() == ['class 1', 'cat']
    assert detections.confidence == pytest.approx([0.9, 0.6])
    assert np.array_equal(detections.mask[1], mask_utils.decode(found.masks[1]).astype(bool))
    picture = np.zeros((48, 64, 3), np.uint8)
    drawn = sv.MaskAnnotator(color_lookup=sv.ColorLookup.TRACK).annotate(picture.copy(), detections)
    assert (drawn.any(-1) == detections.mask.any(0)).all()


def test_supervision_of_an_empty_frame():
    pytest.importorskip('supervision', reason='needs the package supervision')
    nothing = torch.zeros(0, dtype=torch.long)
    detections = to_supervision(FrameTracks(0, nothing, nothing, nothing.float(), []), ('cat',))
    assert len(detections) == 0 and detections.tracker_id.shape == (0,)


def test_without_supervision_the_message_says_what_to_install(found_boxes, monkeypatch):
    original = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == 'supervision':
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', refuse)
    with pytest.raises(ImportError, match=r'pip install "mmdevis\[supervision\]"'):
        to_supervision(found_boxes(0))
