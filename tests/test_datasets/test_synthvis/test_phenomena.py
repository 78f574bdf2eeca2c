"""What the standard difficulty promises is there, and identity decides the score."""

from collections import Counter

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmdevis.datasets.synthvis import SYNTHVIS_CLASSES, SynthVISConfig
from mmdevis.datasets.synthvis.oracle import TRIALS, score_identity
from mmdevis.datasets.synthvis.scene import sample_scene, video_rng


def _seen(track) -> np.ndarray:
    return np.array([s is not None for s in track['segmentations']])


def test_schema(standard_set):
    videos = {v['id']: v for v in standard_set['videos']}
    assert len(videos) == 60
    assert [c['id'] for c in standard_set['categories']] == list(range(1, 7))
    assert tuple(c['name'] for c in standard_set['categories']) == SYNTHVIS_CLASSES
    for video in videos.values():
        assert (video['height'], video['width']) == (96, 160)
        assert len(video['file_names']) == video['length'] <= 16
    for track in standard_set['annotations']:
        length = videos[track['video_id']]['length']
        assert track['length'] == length
        for key in ('segmentations', 'bboxes', 'areas', 'occlusion', 'occlusion_rates'):
            assert len(track[key]) == length
        assert track['iscrowd'] == 0
        for rle, box, area in zip(track['segmentations'], track['bboxes'], track['areas']):
            assert (rle is None) == (box is None) == (area is None)
            if rle:
                assert mask_utils.area(rle) == area
                assert mask_utils.toBbox(rle).tolist() == box


def test_masks_of_a_frame_do_not_overlap(standard_set):
    for video in standard_set['videos'][:20]:
        tracks = [a for a in standard_set['annotations'] if a['video_id'] == video['id']]
        for t in range(video['length']):
            rles = [a['segmentations'][t] for a in tracks if a['segmentations'][t]]
            if rles:
                assert mask_utils.area(mask_utils.merge(rles, intersect=False)) == sum(
                    mask_utils.area(r) for r in rles
                )


def test_every_phenomenon_occurs(standard_set):
    tracks = standard_set['annotations']
    seen = [_seen(t) for t in tracks]
    runs = [np.flatnonzero(np.diff(np.pad(s, 1).astype(int)) == 1) for s in seen]
    count = Counter(
        late=sum(not s[0] for s in seen),
        leaves=sum(not s[-1] for s in seen),
        returns=sum(len(r) > 1 for r in runs),
        hidden=sum(1.0 in t['occlusion_rates'] for t in tracks),
        short=sum(v['length'] < 4 for v in standard_set['videos']),
    )
    for video in standard_set['videos']:
        visible = [_seen(t) for t in tracks if t['video_id'] == video['id']]
        count['empty'] += bool(visible) and int((~np.any(visible, axis=0)).sum() > 0)
    for name in ('late', 'leaves', 'returns', 'hidden', 'short', 'empty'):
        assert count[name] >= 3, (name, count)
    levels = Counter(t['occlusion_level'] for t in tracks)
    assert min(levels[name] for name in ('slight', 'moderate', 'heavy')) >= 4, levels
    assert len({t['category_id'] for t in tracks}) == 6


def test_look_alikes_cross_in_about_every_third_video():
    config = SynthVISConfig()
    crossing = 0
    for index in range(60):
        scene = sample_scene(config, video_rng(0, 'valid', index))
        crossing += scene.crossing is not None and scene.objects[scene.crossing[0]].twin is not None
    assert 12 <= crossing <= 35


@pytest.fixture(scope='module')
def scores(standard_set):
    return {trial: score_identity(standard_set, trial) for trial in TRIALS}


def test_identity_decides_the_score(scores):
    assert scores['perfect']['AP'] == pytest.approx(1)
    assert 0.45 < scores['IoU linking']['AP'] < 0.8
    assert scores['random identity']['AP'] < scores['IoU linking']['AP'] - 0.1
    # The right answer can be found: motion tells look-alikes apart.
    assert scores['motion linking']['AP'] > scores['IoU linking']['AP'] + 0.1


def test_occlusion_makes_identity_harder(scores):
    for trial in ('IoU linking', 'random identity'):
        assert scores[trial]['AP_heavy'] < scores[trial]['AP_slight']


def test_unknown_trial(standard_set):
    with pytest.raises(KeyError):
        score_identity(standard_set, 'guess')
