import pickle
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmdet.models import TrackDataPreprocessor
from mmdet.registry import DATASETS
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmdevis.datasets import FrameError, LazyVideo, LoadFrame, PackLazyVideo


def _dataset(root, **kwargs):
    steps = [{'type': 'LoadFrame'}, {'type': 'Resize', 'scale': (64, 48), 'keep_ratio': True}]
    return DATASETS.build(
        {
            'type': 'VISClipDataset',
            'data_root': str(root),
            'ann_file': 'train.json',
            'data_prefix': {'img_path': 'JPEGImages'},
            'test_mode': True,
            'pipeline': [{'type': 'PackLazyVideo', 'frame_pipeline': steps}],
            **kwargs,
        }
    )


def test_frames_and_metainfo(tiny_root):
    sample = _dataset(tiny_root)[0]
    video, track = sample['inputs'], sample['data_samples']
    assert len(video) == len(track) == 5
    assert video[2].shape == (3, 48, 64)
    assert video[2].dtype == torch.uint8
    assert [frame[0, 0, 0].item() for frame in video] == [41, 42, 43, 44, 45]
    assert (video[-1] == video[4]).all()
    meta = video.metainfo(3)
    assert (meta['ori_shape'], meta['img_shape']) == ((24, 32), (48, 64))
    assert (meta['video_id'], meta['frame_id'], meta['scale_factor']) == (1, 3, (2, 2))
    assert meta['img_path'].endswith('v1/00003.png')
    for index in (5, -6):
        with pytest.raises(IndexError):
            video[index]
    for i, frame in enumerate(track):
        assert (frame.ori_shape, frame.frame_id, frame.video_id) == ((24, 32), i, 1)
        assert frame.ori_video_length == 5
    assert [len(frame.instances) for frame in track] == [1, 1, 1, 2, 2]


def test_nothing_is_read_before_it_is_asked_for(tiny_root, monkeypatch):
    read = []
    transform = LoadFrame.transform
    monkeypatch.setattr(
        LoadFrame, 'transform', lambda self, r: read.append(r['frame_id']) or transform(self, r)
    )
    sample = _dataset(tiny_root)[0]
    batch = pseudo_collate([sample])
    # Neither MMEngine's collation nor its moving to a device may walk through the video.
    inputs = TrackDataPreprocessor().cast_data(batch)['inputs']
    assert read == []
    assert isinstance(inputs[0], LazyVideo)
    inputs[0][3]
    inputs[0].metainfo(3)
    assert read == [3]
    inputs[0].metainfo(1)
    assert read == [3, 1]


@pytest.mark.parametrize('num_workers', [0, 1])
def test_loading(tiny_root, num_workers):
    dataset = _dataset(tiny_root)
    loader = DataLoader(dataset, batch_size=1, num_workers=num_workers, collate_fn=pseudo_collate)
    lengths = []
    for batch in loader:
        (video,) = batch['inputs']
        lengths.append(len(video))
        assert video[0].shape == (3, 48, 64)
    assert lengths == [5, 2, 1]


def test_cheap_to_send(tiny_root):
    video = _dataset(tiny_root)[0]['inputs']
    size = len(pickle.dumps(video))
    video[0]
    assert len(pickle.dumps(video)) < size + 500
    assert size < 3000
    assert (pickle.loads(pickle.dumps(video))[1] == video[1]).all()


def test_frames_of_different_sizes(tiny_root, tmp_path):
    shutil.copytree(tiny_root, tmp_path / 'data')
    odd = tmp_path / 'data/JPEGImages/v1/00002.png'
    cv2.imwrite(str(odd), np.zeros((20, 30, 3), np.uint8))
    video = _dataset(tmp_path / 'data')[0]['inputs']
    with pytest.raises(ValueError, match=r'video 1, frame 2, .*00002.png is 20 x 30.*24 x 32'):
        list(video)
    # Without annotations that say the size, the frames before count.
    frames = [{'img_path': str(odd.with_name(f'0000{i}.png')), 'frame_id': i} for i in range(3)]
    video = LazyVideo(frames, LoadFrame())
    video[0]
    with pytest.raises(ValueError, match=r'frame 2, .*00002.png is 20 x 30.*24 x 32'):
        video[2]


def test_missing_frame_is_met_when_it_is_read(tiny_root, tmp_path):
    shutil.copytree(tiny_root, tmp_path / 'data')
    (tmp_path / 'data/JPEGImages/v1/00002.png').unlink()
    video = _dataset(tmp_path / 'data')[0]['inputs']
    video[1]
    with pytest.raises(FrameError, match=r'video 1, frame 2, file .*00002.png does not exist'):
        video[2]


def test_pipeline_needs_no_default_scope(tiny_root):
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope(None):
        steps = [{'type': 'LoadFrame'}, {'type': 'Resize', 'scale': (8, 8)}]
        assert 'Resize' in repr(PackLazyVideo(steps))
