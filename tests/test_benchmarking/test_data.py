"""Data sets that somebody has are laid out as the runs expect them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmdet.registry import DATASETS

from mmdevis.benchmarking.adapt import data_set
from mmdevis.benchmarking.data import make_data
from mmdevis.datasets.synthvis import SynthVISConfig, generate_synthvis


@pytest.fixture
def own_set(tmp_path):
    """A data set with all frames in one folder."""
    made = tmp_path / 'made'
    generate_synthvis(made, {'train': 4, 'test': 2}, SynthVISConfig(frames=3, size=(32, 64)))
    source = tmp_path / 'source'
    source.mkdir()
    for split in ('train', 'test'):
        content = json.loads((made / f'annotations/{split}_ytvis.json').read_text())
        for video in content['videos']:
            video['file_names'] = [f'{split}/{name}' for name in video['file_names']]
        (source / f'{split}.json').write_text(json.dumps(content))
        (source / 'frames').mkdir(exist_ok=True)
        (made / split / 'JPEGImages').rename(source / 'frames' / split)
    return source


def _settings(root, source) -> dict:
    names = dict(train='train.json', test='test.json')
    return dict(root=str(root), source=str(source), annotations=names, frames='frames', valid=1)


def test_every_split_of_a_linked_set_can_be_read(tmp_path, own_set):
    for _ in range(2):  # the second time over what is there
        root = make_data(_settings(tmp_path / 'root', own_set))
    read = {}
    for split in ('train', 'valid', 'test'):
        dataset = DATASETS.build(data_set(root / 'main', split, [], test_mode=True))
        videos = [dataset.get_data_info(i) for i in range(len(dataset))]
        assert all(Path(f['img_path']).is_file() for video in videos for f in video['images'])
        read[split] = {video['video_id'] for video in videos}
    assert [len(videos) for videos in read.values()] == [3, 1, 2]
    assert not read['train'] & read['valid']


def test_holding_out_all_training_videos_is_refused(tmp_path, own_set):
    with pytest.raises(ValueError, match='4 of 4'):
        make_data({**_settings(tmp_path / 'root', own_set), 'valid': 4})


@pytest.mark.parametrize('missing', ['train.json', 'frames'])
def test_a_missing_part_is_named(tmp_path, own_set, missing):
    (own_set / missing).rename(tmp_path / 'elsewhere')
    with pytest.raises(FileNotFoundError, match=rf'{missing}.*data\.source'):
        make_data(_settings(tmp_path / 'root', own_set))


def test_a_folder_with_another_set_is_refused_and_left_alone(tmp_path, own_set):
    settings = _settings(tmp_path / 'root', own_set)
    annotations = make_data(settings) / 'main/annotations/train_ytvis.json'
    before = annotations.read_text()
    with pytest.raises(ValueError, match='holds another data set'):
        make_data({**settings, 'valid': 2})
    assert annotations.read_text() == before


def test_a_linked_set_has_no_subsets(tmp_path, own_set):
    with pytest.raises(ValueError, match='subsets'):
        make_data({**_settings(tmp_path / 'root', own_set), 'subsets': {'hard': {'videos': 2}}})
