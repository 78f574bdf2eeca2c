import copy
import json
import os

import numpy as np
import pytest
from mmdet.datasets import YouTubeVISDataset
from pycocotools import mask as mask_utils

from mmdevis.datasets.converters import compress_mask, write_json, ytvis_to_frames


def test_every_mask_is_kept(ytvis):
    before = copy.deepcopy(ytvis)
    frames = ytvis_to_frames(ytvis)
    assert ytvis == before
    images = {image['id']: image for image in frames['images']}
    found = {
        (obj['instance_id'], images[obj['image_id']]['frame_id']): obj
        for obj in frames['annotations']
    }
    count = 0
    for number, track in enumerate(ytvis['annotations'], 1):
        for frame, mask in enumerate(track['segmentations']):
            if mask is None or mask_utils.area(mask) == 0:
                assert (number, frame) not in found
                continue
            count += 1
            obj = found[number, frame]
            assert obj['segmentation'] == mask
            assert obj['bbox'] == track['bboxes'][frame]
            assert obj['area'] == track['areas'][frame]
            assert obj['category_id'] == track['category_id']
            assert obj['video_id'] == images[obj['image_id']]['video_id'] == track['video_id']
            assert obj['occlusion'] == 'no_occlusion'
    assert count == len(found) == 9
    assert [image['id'] for image in frames['images']] == list(range(1, 9))
    assert frames['videos'][0] == {'id': 1, 'name': 'v1', 'width': 32, 'height': 24}


def test_masks_of_every_kind_agree():
    mask = np.zeros((6, 8), np.uint8)
    mask[1:4, 2:7] = 1
    flat = mask.flatten(order='F')
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    polygon = [[2, 1, 7, 1, 7, 4, 2, 4]]
    rle = mask_utils.encode(np.asfortranarray(mask))
    for kind in (polygon, {'size': [6, 8], 'counts': runs}, rle):
        out = compress_mask(kind, 6, 8)
        assert isinstance(out['counts'], str)
        assert (mask_utils.decode(out) == mask).all()
    for nothing in (None, [], {'size': [6, 8], 'counts': [48]}):
        assert compress_mask(nothing, 6, 8) is None


def test_mmdetection_reads_the_result(ytvis, tiny_root, tmp_path, run_tool):
    for category, name in zip(ytvis['categories'], ('person', 'giant_panda')):
        category['name'] = name
    (tmp_path / 'official.json').write_text(json.dumps(ytvis))
    run_tool('ytvis2coco.py', tmp_path / 'official.json', tmp_path / 'new/frames.json')

    class Dataset(YouTubeVISDataset):
        """Its own class, because MMDetection's keeps the classes on itself."""

    dataset = Dataset(
        '2019',
        ann_file=str(tmp_path / 'new/frames.json'),
        data_prefix={'img_path': str(tiny_root / 'JPEGImages')},
        test_mode=True,
    )
    lengths = [dataset.get_len_per_video(i) for i in range(3)]
    assert lengths == [5, 2, 1]
    assert [len(f['instances']) for f in dataset.get_data_info(0)['images']] == [1, 1, 1, 2, 2]


def test_progress_and_summary(ytvis, tmp_path, run_tool, capsys):
    (tmp_path / 'a.json').write_text(json.dumps(ytvis))
    run_tool('ytvis2coco.py', tmp_path / 'a.json', tmp_path / 'b.json')
    out = capsys.readouterr()
    assert '3 videos, 8 frames, 3 tracks, 9 masks' in out.out
    assert '3/3' in out.err


def test_without_annotations(ytvis, tmp_path, run_tool):
    ytvis['annotations'] = None
    (tmp_path / 'a.json').write_text(json.dumps(ytvis))
    run_tool('ytvis2coco.py', tmp_path / 'a.json', tmp_path / 'b.json')
    assert json.loads((tmp_path / 'b.json').read_text())['annotations'] == []


@pytest.mark.parametrize('text', [None, '{"videos": [', '{"videos": []}', 'frames'])
def test_bad_input_writes_nothing(ytvis, tmp_path, run_tool, text):
    source = tmp_path / 'a.json'
    if text == 'frames':
        text = json.dumps(ytvis_to_frames(ytvis))
    if text is not None:
        source.write_text(text)
    with pytest.raises(SystemExit, match=r'a\.json'):
        run_tool('ytvis2coco.py', source, tmp_path / 'b.json')
    assert {path.name for path in tmp_path.iterdir()} <= {'a.json'}


def test_json_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / 'x.json'
    write_json({'a': 1}, target)
    with pytest.raises(TypeError):
        write_json({'a': object()}, target)
    assert os.listdir(tmp_path) == ['x.json']
    assert json.loads(target.read_text()) == {'a': 1}
