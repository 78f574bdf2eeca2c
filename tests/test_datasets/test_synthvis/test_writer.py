import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from pycocotools import mask as mask_utils

from mmdevis.datasets.synthvis import SynthVISConfig, generate_synthvis, writer

KNOWN_AREAS = [338, 439, 349, 552, 526, 206, 236, 104, 203, 274, 256, 635, 54, 31, 89, 234]


def _digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob('*') if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.name.startswith('.')]


def test_layout(small_set):
    assert sorted(p.name for p in small_set.iterdir()) == [
        'annotations',
        'manifest.json',
        'train',
        'valid',
    ]
    for split, videos in (('train', 6), ('valid', 3)):
        truth = json.loads((small_set / 'annotations' / f'{split}_ytvis.json').read_text())
        assert len(truth['videos']) == videos
        names = {n for v in truth['videos'] for n in v['file_names']}
        images = small_set / split / 'JPEGImages'
        assert names == {p.relative_to(images).as_posix() for p in images.rglob('*.jpg')}
        for name in names:
            assert cv2.imread(str(images / name)).shape == (32, 48, 3)


def test_same_seed_same_bytes_with_any_number_of_workers(tmp_path, small_set, small_config):
    splits = {'train': 6, 'valid': 3}
    generate_synthvis(tmp_path / 'two', splits, small_config, seed=3, workers=2, progress=False)
    assert _digest(tmp_path / 'two') == _digest(small_set)


def test_video_does_not_depend_on_the_number_of_videos(tmp_path, small_set, small_config):
    generate_synthvis(tmp_path / 'few', {'valid': 2}, small_config, seed=3, progress=False)
    few, all_ = (_digest(p / 'valid') for p in (tmp_path / 'few', small_set))
    assert few.items() < all_.items()


def test_other_seed_and_other_split_give_other_videos(tmp_path, small_set, small_config):
    generate_synthvis(tmp_path / 'other', {'train': 6}, small_config, seed=4, progress=False)
    pictures = [
        set(_digest(p).values())
        for p in (small_set / 'train', small_set / 'valid', tmp_path / 'other' / 'train')
    ]
    assert not pictures[0] & pictures[1] and not pictures[0] & pictures[2]


def test_generator_makes_what_its_version_says(small_set):
    """Fails when the videos change: then raise GENERATOR_VERSION and put the new areas here."""
    truth = json.loads((small_set / 'annotations' / 'train_ytvis.json').read_text())
    areas = [sum(a for a in t['areas'] if a) for t in truth['annotations']]
    # Another mathematics library may move a pixel centre across an outline.
    assert (writer.GENERATOR_VERSION, areas) == (1, pytest.approx(KNOWN_AREAS, abs=4))


def test_per_frame_annotations_tell_the_same(small_set):
    for split in ('train', 'valid'):
        whole = json.loads((small_set / 'annotations' / f'{split}_ytvis.json').read_text())
        frames = json.loads((small_set / 'annotations' / f'{split}.json').read_text())
        place = {i['id']: (i['video_id'], i['frame_id']) for i in frames['images']}
        assert sorted(place.values()) == [
            (v['id'], t) for v in whole['videos'] for t in range(v['length'])
        ]
        tracks = {t['id']: t for t in whole['annotations']}
        for ann in frames['annotations']:
            track, (video, t) = tracks[ann['instance_id']], place[ann['image_id']]
            assert ann['video_id'] == track['video_id'] == video
            assert ann['category_id'] == track['category_id']
            assert ann['segmentation'] == track['segmentations'][t]
            assert ann['bbox'] == track['bboxes'][t] and ann['area'] == track['areas'][t]
            assert ann['occlusion'] == track['occlusion'][t]
        masks = sum(s is not None for t in tracks.values() for s in t['segmentations'])
        assert len(frames['annotations']) == masks


def test_mmdetection_reads_it(small_set, small_config):
    dataset = DATASETS.build(
        {
            'type': 'BaseVideoDataset',
            'data_root': str(small_set),
            'ann_file': 'annotations/valid.json',
            'data_prefix': {'img_path': 'valid/JPEGImages'},
            'metainfo': {'classes': small_config.classes},
            'test_mode': True,
            'pipeline': [],
        }
    )
    truth = json.loads((small_set / 'annotations' / 'valid_ytvis.json').read_text())
    assert len(dataset) == 3
    for i, video in enumerate(truth['videos']):
        images = dataset.get_data_info(i)['images']
        assert [Path(m['img_path']).is_file() for m in images] == [True] * video['length']
        masks = sum(
            s is not None
            for t in truth['annotations']
            if t['video_id'] == video['id']
            for s in t['segmentations']
        )
        instances = [n for m in images for n in m['instances']]
        assert len(instances) == masks
        for instance in instances:
            left, top, right, bottom = (int(v) for v in instance['bbox'])
            mask = mask_utils.decode(instance['mask'])
            assert mask.shape == (32, 48)
            assert mask[top:bottom, left:right].sum() == mask.sum() > 0


def test_png_is_lossless(tmp_path):
    config = SynthVISConfig(frames=1, size=(32, 48), image_format='png')
    generate_synthvis(tmp_path / 'png', {'train': 1}, config, progress=False)
    (path,) = (tmp_path / 'png').rglob('*.png')
    scene = writer.sample_scene(config, writer.video_rng(0, 'train', 0))
    (frame,) = writer.render_scene(scene, config, writer.video_rng(0, 'train', 0, 1))
    assert np.array_equal(cv2.imread(str(path))[..., ::-1], frame.image)


def test_same_set_is_reused(tmp_path, small_config):
    out = tmp_path / 'set'
    first = generate_synthvis(out, {'train': 1}, small_config, progress=False)
    before = {p: p.stat().st_mtime_ns for p in out.rglob('*')}
    second = generate_synthvis(out, {'train': 1}, small_config, progress=False)
    assert not first.reused and second.reused
    assert second.manifest == first.manifest
    assert {p: p.stat().st_mtime_ns for p in out.rglob('*')} == before


@pytest.mark.parametrize(
    ('change', 'said'),
    [({'seed': 1}, 'another seed'), ({'splits': {'train': 2}}, 'another videos')],
)
def test_other_set_is_refused_then_replaced_by_force(tmp_path, small_config, change, said):
    out = tmp_path / 'set'
    request = {'splits': {'train': 1}, 'config': small_config, 'progress': False}
    generate_synthvis(out, **request)
    before = _digest(out)
    with pytest.raises(FileExistsError, match=f'{said}; use --force'):
        generate_synthvis(out, **{**request, **change})
    assert _digest(out) == before
    result = generate_synthvis(out, **{**request, **change}, force=True)
    assert not result.reused and _digest(out) != before
    assert _leftovers(tmp_path) == []


def test_incomplete_set_is_noticed_and_made_again_by_force(tmp_path, small_config):
    out = tmp_path / 'set'
    generate_synthvis(out, {'train': 1}, small_config, progress=False)
    next(out.rglob('*.jpg')).unlink()
    with pytest.raises(FileExistsError, match='files of it are missing'):
        generate_synthvis(out, {'train': 1}, small_config, progress=False)
    assert not generate_synthvis(out, {'train': 1}, small_config, force=True).reused


@pytest.mark.parametrize('force', [False, True])
def test_foreign_folder_is_never_touched(tmp_path, small_config, force):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(FileExistsError, match='holds no SynthVIS set'):
        generate_synthvis(tmp_path, {'train': 1}, small_config, force=force, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ['thesis.tex']


def test_file_in_the_way(tmp_path, small_config):
    (tmp_path / 'set').write_text('')
    with pytest.raises(FileExistsError, match='is a file'):
        generate_synthvis(tmp_path / 'set', {'train': 1}, small_config)


def test_empty_folder_is_filled(tmp_path, small_config):
    (tmp_path / 'set').mkdir()
    assert not generate_synthvis(tmp_path / 'set', {'train': 1}, small_config).reused


@pytest.mark.parametrize('workers', [1, 2])
def test_failure_leaves_nothing(tmp_path, small_config, monkeypatch, workers):
    def fail(path, image, config):
        if '00001' in path.name:
            raise OSError(28, 'No space left on device')
        path.write_bytes(b'')

    monkeypatch.setattr(writer, '_write_image', fail)
    with pytest.raises(OSError, match='No space left'):
        generate_synthvis(
            tmp_path / 'set', {'train': 4}, small_config, workers=workers, progress=False
        )
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_the_set_that_was_to_be_replaced(tmp_path, small_config, monkeypatch):
    out = tmp_path / 'set'
    generate_synthvis(out, {'train': 1}, small_config, progress=False)
    before = _digest(out)

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, '_write_image', interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate_synthvis(out, {'train': 2}, small_config, force=True, progress=False)
    assert _digest(out) == before and _leftovers(tmp_path) == []


def test_set_that_appears_meanwhile_is_not_overwritten(tmp_path, small_config, monkeypatch):
    out = tmp_path / 'set'
    write_splits = writer._write_splits

    def slow(*args):
        (out / 'other').mkdir(parents=True)
        return write_splits(*args)

    monkeypatch.setattr(writer, '_write_splits', slow)
    with pytest.raises(FileExistsError, match='meanwhile'):
        generate_synthvis(out, {'train': 1}, small_config, progress=False)
    assert [p.name for p in out.iterdir()] == ['other'] and _leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ('request_', 'said'),
    [
        ({'splits': {}}, 'no split'),
        ({'splits': {'train': 0}}, 'split train has 0 videos'),
        ({'splits': {'train': 1.5}}, 'split train has 1.5 videos'),
        ({'splits': {'a/b': 1}}, "'a/b' cannot name a split"),
        ({'splits': {'annotations': 1}}, "'annotations' cannot name a split"),
        ({'splits': {'a': 1, 'a_ytvis': 1}}, 'followed by _ytvis'),
        ({'seed': -1}, 'seed is -1'),
        ({'seed': 1.5}, 'seed is 1.5'),
        ({'workers': 0}, 'workers is 0'),
    ],
)
def test_bad_arguments(tmp_path, request_, said):
    with pytest.raises(ValueError, match=said):
        generate_synthvis(tmp_path / 'set', **{'splits': {'train': 1}, **request_})
    assert list(tmp_path.iterdir()) == []
