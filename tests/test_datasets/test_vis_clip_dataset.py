import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdet.datasets import YouTubeVISDataset
from mmdet.datasets.samplers import TrackAspectRatioBatchSampler, TrackImgSampler
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import ConcatDataset, DefaultSampler
from mmengine.utils import get_installed_path
from torch.utils.data import DataLoader

from mmdevis.datasets import (
    OVIS_CLASSES,
    AnnotationError,
    OVISClipDataset,
    VISClipDataset,
    YouTubeVISClipDataset,
    youtube_vis_classes,
)
from mmdevis.datasets.converters import ytvis_to_frames


def _build(root, **kwargs):
    cfg = {
        'type': 'VISClipDataset',
        'data_root': str(root),
        'ann_file': 'train.json',
        'data_prefix': {'img_path': 'JPEGImages'},
    }
    return DATASETS.build({**cfg, **kwargs})


def _starts(dataset):
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [(info['video_id'], info['clip_start']) for info in infos]


@pytest.mark.parametrize(
    ('num_frames', 'expected'),
    [
        (1, [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (2, 0), (2, 1), (3, 0)]),
        (2, [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (3, 0)]),
        (5, [(1, 0), (2, 0), (3, 0)]),
        (6, [(1, 0), (2, 0), (3, 0)]),
    ],
)
def test_every_start_is_a_clip(tiny_root, num_frames, expected):
    assert _starts(_build(tiny_root, num_frames=num_frames)) == expected


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5), num_frames=st.integers(1, 8))
def test_clips_follow_from_the_lengths(lengths, num_frames):
    dataset = VISClipDataset.__new__(VISClipDataset)
    dataset.num_frames, dataset.filter_empty_clips = num_frames, True
    dataset._lengths = np.array(lengths)
    dataset._first_frames = np.concatenate([[0], np.cumsum(lengths)])
    expected = [
        (v, s)
        for v, n in enumerate(lengths)
        for s in range(n)
        if s + num_frames <= n or (s == 0 and n < num_frames)
    ]
    everywhere = np.ones(sum(lengths), bool)
    assert list(map(tuple, dataset._list_clips(everywhere))) == expected
    assert len(dataset._list_clips(~everywhere)) == 0


def test_empty_frames_stay_and_clips_without_objects_go_only_on_request(tiny_root):
    dataset = _build(tiny_root, num_frames=1)
    assert dataset.num_all_imgs == 8
    assert dataset.get_data_info(7)['images'][0]['instances'] == []
    classes = {'metainfo': {'classes': ['circle']}}
    kept = _build(tiny_root, num_frames=2, filter_empty_clips=True, **classes)
    assert _starts(kept) == [(1, 2), (1, 3)]
    assert kept.num_all_imgs == 8


def test_records(tiny_root):
    frame = _build(tiny_root).get_data_info(3)['images'][3]
    assert frame['img_path'].endswith('JPEGImages/v1/00003.png')
    assert (frame['img_id'], frame['frame_id'], frame['video_id']) == (4, 3, 1)
    assert (frame['height'], frame['width']) == (24, 32)
    first, second = frame['instances']
    # Category ids 3 and 7 become labels 0 and 1: ascending id, whatever the order of the file.
    assert (first['bbox_label'], first['instance_id'], first['bbox']) == (1, 1, [11, 4, 19, 12])
    assert (second['bbox_label'], second['instance_id']) == (0, 2)
    assert first['occlusion'] == 'no_occlusion'


def test_absent_and_empty_masks_are_no_instances(tiny_root):
    images = _build(tiny_root).get_data_info(0)['images']
    assert [[x['instance_id'] for x in frame['instances']] for frame in images] == [
        [1],
        [1],
        [1],
        [1, 2],
        [1, 2],
    ]


def test_both_formats_read_the_same(tiny_root, ytvis, tmp_path):
    (tmp_path / 'frames.json').write_text(json.dumps(ytvis_to_frames(ytvis)))
    one = _build(tiny_root)
    two = _build(tiny_root, ann_file=str(tmp_path / 'frames.json'))
    assert len(one) == len(two)
    for a, b in zip(one.iter_videos(), two.iter_videos()):
        assert list(a['images']) == list(b['images'])
    assert one.metainfo == two.metainfo


def test_uncompressed_masks_and_polygons(tiny_root, ytvis, tmp_path):
    ytvis['annotations'][0]['segmentations'][0] = {'size': [24, 32], 'counts': [96, 24, 648]}
    ytvis['annotations'][0]['segmentations'][1] = [[0, 0, 4, 0, 4, 4, 0, 4]]
    (tmp_path / 'x.json').write_text(json.dumps(ytvis))
    images = _build(tiny_root, ann_file=str(tmp_path / 'x.json')).get_data_info(0)['images']
    assert images[0]['instances'][0]['bbox'] == [4, 0, 5, 24]
    assert images[1]['instances'][0]['bbox'] == [0, 0, 4, 4]
    assert isinstance(images[1]['instances'][0]['mask']['counts'], str)


def test_versions_do_not_overwrite_each_other(tmp_path):
    datasets = {}
    for version in ('2019', '2021'):
        names = youtube_vis_classes(version)
        data = {
            'videos': [{'id': 1, 'height': 4, 'width': 4, 'file_names': ['v/0.jpg']}],
            'categories': [{'id': i, 'name': name} for i, name in enumerate(names, 1)],
            'annotations': [],
        }
        (tmp_path / f'{version}.json').write_text(json.dumps(data))
        datasets[version] = YouTubeVISClipDataset(
            version, ann_file=str(tmp_path / f'{version}.json')
        )
    for version, dataset in datasets.items():
        assert dataset.metainfo['classes'] == youtube_vis_classes(version)
        assert len(dataset.metainfo['classes']) == 40
    assert datasets['2019'].metainfo['classes'][5] == 'sedan'
    for cls in (YouTubeVISClipDataset, VISClipDataset, YouTubeVISDataset):
        assert 'classes' not in cls.METAINFO
    with pytest.raises(AnnotationError, match=r'2021.json.*giraffe|2021.json.*sedan'):
        YouTubeVISClipDataset('2019', ann_file=str(tmp_path / '2021.json'))
    with pytest.raises(ValueError, match='2020'):
        YouTubeVISClipDataset('2020', ann_file=str(tmp_path / '2021.json'))


def test_ovis_without_annotations(tmp_path):
    data = {
        'videos': [{'id': 1, 'height': 4, 'width': 4, 'file_names': ['v/0.jpg', 'v/1.jpg']}],
        'categories': [{'id': i, 'name': name} for i, name in enumerate(OVIS_CLASSES, 1)],
        'annotations': None,
    }
    (tmp_path / 'valid.json').write_text(json.dumps(data))
    assert len(OVIS_CLASSES) == 25
    with pytest.raises(AnnotationError, match='valid.json.*null'):
        OVISClipDataset(ann_file=str(tmp_path / 'valid.json'))
    dataset = OVISClipDataset(ann_file=str(tmp_path / 'valid.json'), test_mode=True)
    assert len(dataset) == 1
    assert dataset.metainfo == {'classes': OVIS_CLASSES, 'category_ids': tuple(range(1, 26))}
    assert dataset[0]['instances'] == [[], []]


def test_labels_follow_the_wanted_classes(tiny_root):
    dataset = _build(tiny_root, metainfo={'classes': ('square', 'circle')})
    assert dataset.cat2label == {7: 0, 3: 1}
    with pytest.raises(AnnotationError, match='train.json.*triangle'):
        _build(tiny_root, metainfo={'classes': ('triangle',)})


def test_test_mode_gives_whole_videos(tiny_root):
    dataset = _build(tiny_root, test_mode=True)
    assert len(dataset) == 3
    sample = dataset[0]
    assert sample['frame_id'] == [0, 1, 2, 3, 4]
    assert sample['ori_video_length'] == sample['video_length'] == [5] * 5
    assert dataset[0, 3]['frame_id'] == [3]
    assert dataset.metainfo['category_ids'] == (3, 7)


def test_only_the_frames_of_the_clip_are_read(tiny_root, monkeypatch):
    dataset = _build(tiny_root, num_frames=2, pipeline=[{'type': 'SampleClip'}])
    loads, count = pickle.loads, []
    monkeypatch.setattr(pickle, 'loads', lambda data: count.append(1) or loads(data))
    assert dataset[1]['frame_id'] == [1, 2]
    assert len(count) == 2


def test_samples_do_not_share_state(tiny_root):
    for serialize in (True, False):
        dataset = _build(tiny_root, serialize_data=serialize)
        dataset.get_data_info(0)['images'][0]['instances'].clear()
        assert len(dataset.get_data_info(0)['images'][0]['instances']) == 1
        # MMDetection's frame samplers index with slices and negative numbers, too.
        images = dataset.get_data_info(0)['images']
        assert images[-1] == images[4]
        assert [frame['frame_id'] for frame in images[1:3]] == [1, 2]
        with pytest.raises(IndexError):
            images[5]


def test_index_range(tiny_root):
    dataset = _build(tiny_root, num_frames=2)
    assert dataset.get_data_info(-1)['video_id'] == 3
    with pytest.raises(IndexError, match='train.json'):
        dataset[6]


def test_chosen_videos(tiny_root):
    assert len(_build(tiny_root, indices=2, test_mode=True)) == 2
    assert _starts(_build(tiny_root, indices=[1], num_frames=2)) == [(2, 0)]
    with pytest.raises(NotImplementedError, match='indices'):
        _build(tiny_root).get_subset(1)


def test_category_ids_of_clips(tiny_root):
    dataset = _build(tiny_root, num_frames=2)
    assert dataset.get_cat_ids(0) == [1, 1]
    assert dataset.get_cat_ids(3) == [1, 0, 1, 0]
    assert dataset.get_cat_ids((0, 4)) == [1, 0]
    assert dataset.get_cat_ids(5) == []


def test_concatenation_and_default_sampler(tiny_root):
    pipeline = [{'type': 'SampleClip'}]
    both = ConcatDataset([_build(tiny_root, num_frames=n, pipeline=pipeline) for n in (2, 2)])
    loader = DataLoader(
        both, sampler=DefaultSampler(both, shuffle=True), collate_fn=list, num_workers=1
    )
    seen = sorted((s[0]['video_id'][0], s[0]['frame_id'][0]) for s in loader)
    assert seen == sorted(2 * [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (3, 0)])


def test_lazy_init(tiny_root):
    dataset = _build(tiny_root, lazy_init=True, num_frames=2)
    assert not dataset._fully_initialized
    assert dataset.metainfo['classes'] == ('circle', 'square')
    assert len(dataset) == 6


@pytest.mark.parametrize('wrong', [{'num_frames': 0}, {'filter_cfg': {'filter_empty_gt': True}}])
def test_wrong_arguments(tiny_root, wrong):
    with pytest.raises(ValueError, match='num_frames|filter_cfg'):
        _build(tiny_root, **wrong)


def test_the_pipeline_of_mmdetections_own_video_models(tiny_root):
    config = Config.fromfile(
        get_installed_path('mmdet') + '/.mim/configs/_base_/datasets/youtube_vis.py'
    )
    dataset = _build(tiny_root, num_frames=1, pipeline=config.train_pipeline)
    sampler = DefaultSampler(dataset, shuffle=True)
    batches = list(TrackAspectRatioBatchSampler(sampler, batch_size=2, drop_last=True))
    assert len(batches) == 4
    assert len(dataset) == dataset.num_all_imgs
    for index in (0, 4, 7):
        sample = dataset[index]
        key = sample['data_samples'].key_frames_inds
        frames = [s.frame_id for s in sample['data_samples']]
        assert frames[key[0]] == dataset.get_data_info(index)['clip_start']
    with pytest.raises(TypeError, match='DefaultSampler'):
        TrackImgSampler(dataset)
    test_set = _build(tiny_root, test_mode=True, pipeline=config.test_pipeline)
    assert list(TrackImgSampler(test_set))[4:7] == [(0, 4), (1, 0), (1, 1)]
    assert test_set[0]['inputs'].shape == (5, 3, 360, 480)
    assert len(test_set[0, 4]['data_samples']) == 1
