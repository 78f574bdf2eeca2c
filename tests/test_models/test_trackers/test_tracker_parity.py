"""The official release's tracks from the official release's clip predictions."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmdevis.models.trackers import MultiCueClipTracker
from mmdevis.structures import ClipPrediction

DATA = Path(__file__).parents[2] / 'data' / 'parity'
CASES = sorted(path.stem for path in DATA.glob('tracker_*.json'))
WEIGHT_NAMES = {
    'mask_cost': 'mask_weight',
    'cost_class': 'class_weight',
    'class_cost': 'class_weight',
    'score_cost': 'score_weight',
    'center_cost': 'center_weight',
    'binary': 'binary_masks',
    'avg': 'per_frame_iou',
}


def load(name):
    """Tracker and clips of a parity case, and its description."""
    case = json.loads((DATA / f'{name}.json').read_text())
    arrays = np.load(DATA / f'{name}.npz')
    clips = []
    while f'clip{len(clips)}_frames' in arrays:
        get = {
            k: torch.from_numpy(arrays[f'clip{len(clips)}_{k}'])
            for k in ('frames', 'scores', 'labels', 'masks', 'center_points', 'inverse_idxs')
        }
        logits = F.interpolate(
            get['masks'].float(), size=case['size'], mode='bilinear', align_corners=False
        )
        clips.append(
            ClipPrediction(
                frame_indices=get['frames'][: len(get['scores'])],
                scores=get['scores'].T,
                labels=get['labels'][0] - 1,
                masks=logits.transpose(0, 1).sigmoid(),
                centers=get['center_points'].transpose(0, 1),
                mask_index=get['inverse_idxs'],
            )
        )
    clips[-1].num_ignored = case['last_real_idx']
    tracker = MultiCueClipTracker(
        **{WEIGHT_NAMES[key]: value for key, value in case['cost'].items()},
        **case['policies'],
        per_class_matching=case['per_class_matching'],
    )
    return case, clips, tracker


def as_official(track, length):
    """A track in the form of the parity files."""
    segmentations = [track.segmentations.get(frame) for frame in range(length)]
    return {
        'category_id': track.label + 1,
        'segmentations': [
            rle and {'size': rle['size'], 'counts': rle['counts'].decode()} for rle in segmentations
        ],
    }


@pytest.mark.parametrize('with_next_start', [False, True])
@pytest.mark.parametrize('name', CASES)
def test_same_tracks_as_official_release(name, with_next_start):
    case, clips, tracker = load(name)
    frames = []
    for clip in clips:
        next_start = int(clip.frame_indices[0]) + case['stride'] if with_next_start else None
        frames += tracker.update(clip, next_start)
    rest, tracks = tracker.flush()
    frames += rest

    assert len(tracks) == len(case['tracks'])
    for track, expected in zip(tracks, case['tracks']):
        assert track.score == pytest.approx(expected['score'], abs=1e-7)
        ours = as_official(track, case['video_length'])
        assert ours['category_id'] == expected['category_id']
        assert ours['segmentations'] == expected['segmentations']
    # The frames that were given out on the way are the same masks.
    assert [frame.frame_index for frame in frames] == list(range(case['video_length']))
    for frame in frames:
        for track_id, mask in zip(frame.track_ids.tolist(), frame.masks):
            assert tracks[track_id].segmentations[frame.frame_index] == mask


def test_cases_are_there():
    assert len(CASES) == 3
