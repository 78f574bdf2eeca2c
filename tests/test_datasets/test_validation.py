import copy
import json
import re
from pathlib import Path

import pytest

from mmdevis.datasets import AnnotationError, VISClipDataset
from mmdevis.datasets.converters import ytvis_to_frames
from mmdevis.datasets.parsing import parse_videos, select_classes
from mmdevis.datasets.validation import find_problems, is_per_frame, validate

_DROP = object()


def _problems(data, **kwargs):
    return [str(p) for p in find_problems(data, 'a.json', require_annotations=True, **kwargs)]


def test_good_files_have_no_problems(ytvis):
    assert _problems(ytvis) == []
    assert _problems(ytvis_to_frames(ytvis)) == []


def _null(data):
    data['annotations'] = None


def _unknown_category(data):
    data['annotations'][0]['category_id'] = 99


def _mask_size(data):
    data['annotations'][0]['segmentations'][1]['size'] = [32, 24]


def _run_sum(data):
    data['annotations'][0]['segmentations'][1] = {'size': [24, 32], 'counts': [5, 3]}


def _mask_kind(data):
    data['annotations'][0]['segmentations'][1] = 'mask.png'


def _polygon(data):
    data['annotations'][0]['segmentations'][1] = [[1, 2, 3, 4]]


def _same_track_ids(data):
    data['annotations'][1]['id'] = 1


def _same_video_ids(data):
    data['videos'][1]['id'] = 1


def _no_id(data):
    del data['annotations'][0]['id']


def _empty_video(data):
    data['videos'][2]['file_names'] = []


def _length(data):
    data['videos'][0]['length'] = 4


def _too_few_masks(data):
    data['annotations'][0]['segmentations'].pop()


def _no_masks(data):
    del data['annotations'][0]['segmentations']


def _too_few_boxes(data):
    data['annotations'][0]['bboxes'].pop()


def _unknown_video(data):
    data['annotations'][0]['video_id'] = 55


def _no_categories(data):
    data['categories'] = []


def _no_height(data):
    data['videos'][0]['height'] = None


YTVIS_FAULTS = [
    (_null, ('"annotations"', 'null')),
    (_unknown_category, ('video 1 (v1)', 'annotation 1', '"category_id"', '99')),
    (_mask_size, ('video 1 (v1)', 'frame 1', '"segmentations"', '[32, 24]', '[24, 32]')),
    (_run_sum, ('video 1 (v1)', 'frame 1', '"segmentations"', '8 pixels')),
    (_mask_kind, ('video 1 (v1)', 'frame 1', '"segmentations"')),
    (_polygon, ('video 1 (v1)', 'frame 1', '"segmentations"', '3 points')),
    (_same_track_ids, ('"annotations"', 'id 1 is used 2 times')),
    (_same_video_ids, ('"videos"', 'id 1 is used 2 times')),
    (_no_id, ('"annotations"', 'without "id"')),
    (_empty_video, ('video 3', '"file_names"', 'empty')),
    (_length, ('video 1 (v1)', '"length"', '4', '5')),
    (_too_few_masks, ('video 1 (v1)', 'annotation 1', '"segmentations"', '4 entries', '5')),
    (_no_masks, ('video 1 (v1)', 'annotation 1', '"segmentations"')),
    (_too_few_boxes, ('video 1 (v1)', 'annotation 1', '"bboxes"')),
    (_unknown_video, ('annotation 1', '"video_id"', '55')),
    (_no_categories, ('"categories"',)),
    (_no_height, ('video 1 (v1)', '"height"')),
]


@pytest.mark.parametrize(('fault', 'words'), YTVIS_FAULTS, ids=lambda x: getattr(x, '__name__', ''))
def test_faults_of_youtube_vis_files(ytvis, tmp_path, fault, words):
    fault(ytvis)
    found = _problems(ytvis)
    assert found
    assert all(word in found[0] for word in ('a.json', *words)), found[0]
    # The data set raises the same, naming its own file.
    (tmp_path / 'b.json').write_text(json.dumps(ytvis))
    with pytest.raises(AnnotationError) as error:
        VISClipDataset(ann_file=str(tmp_path / 'b.json'))
    assert all(word in str(error.value) for word in (str(tmp_path / 'b.json'), *words))


def _object_twice(data):
    data['annotations'][1].update(image_id=1, instance_id=1)


def _no_instance(data):
    del data['annotations'][0]['instance_id']


def _unknown_image(data):
    data['annotations'][0]['image_id'] = 77


def _frame_twice(data):
    data['images'][1]['frame_id'] = 0


def _other_size(data):
    data['images'][1]['width'] = 64


def _still_images(data):
    for image in data['images']:
        del image['video_id']


def _frame_mask_size(data):
    data['annotations'][0]['segmentation']['size'] = [1, 1]


def _frame_category(data):
    data['annotations'][0]['category_id'] = 99


def _video_without_images(data):
    data['videos'].append({'id': 9, 'name': 'gone'})


def _same_image_ids(data):
    data['images'][1]['id'] = 1


FRAME_FAULTS = [
    (_object_twice, ('video 1', 'image 1', '"instance_id"', 'twice')),
    (_no_instance, ('video 1', 'image 1', '"instance_id"', 'missing')),
    (_unknown_image, ('annotation 1', '"image_id"', '77')),
    (_frame_twice, ('video 1', 'image 2', '"frame_id"')),
    (_other_size, ('video 1', 'image 2', '"height, width"', '(24, 64)', '(24, 32)')),
    (_still_images, ('image 1', '"video_id"', 'CocoPseudoClipDataset')),
    (_frame_mask_size, ('video 1', 'image 1', '"segmentation"', '[1, 1]')),
    (_frame_category, ('video 1', 'image 1', '"category_id"', '99')),
    (_video_without_images, ('video 9 (gone)', '"videos"')),
    (_same_image_ids, ('"images"', 'id 1 is used 2 times')),
]


@pytest.mark.parametrize(('fault', 'words'), FRAME_FAULTS, ids=lambda x: getattr(x, '__name__', ''))
def test_faults_of_per_frame_files(ytvis, fault, words):
    data = copy.deepcopy(ytvis_to_frames(ytvis))
    fault(data)
    found = _problems(data)
    assert found
    assert all(word in found[0] for word in ('a.json', *words)), found[0]


WEIRD = [None, 3, -1, 1.5, 'x', [], {}, True, [None], [[]], {'a': 1}, float('nan')]


def _places(node, path=()):
    """Paths of all values; of a list only those of the first two entries."""
    yield path
    if isinstance(node, dict):
        for key in node:
            yield from _places(node[key], (*path, key))
    elif isinstance(node, list):
        for index in range(min(len(node), 2)):
            yield from _places(node[index], (*path, index))


def _usable(data):
    """Reads a data set as `VISClipDataset` does."""
    validate(data, 'a.json', require_annotations=True)
    frames = data if is_per_frame(data) else ytvis_to_frames(data)
    return parse_videos(frames, select_classes(frames['categories'], None, 'a.json'))


@pytest.mark.parametrize('convert', [lambda data: data, ytvis_to_frames], ids=['ytvis', 'frames'])
def test_whatever_stands_in_whatever_place_is_read_or_refused_with_the_file_name(ytvis, convert):
    good = convert(ytvis)
    text = json.dumps(good)
    refused = 0
    for place in _places(good):
        for weird in [*WEIRD, _DROP]:
            data = json.loads(text)
            holder, key = {'': data}, ''
            for step in place:
                holder, key = holder[key], step
            if weird is _DROP:
                if not place:
                    continue
                del holder[key]
            else:
                holder[key] = weird
            data = data if place else holder['']
            try:
                _usable(data)
            except AnnotationError as error:
                refused += 1
                assert 'a.json' in str(error)
    assert refused > 300


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda d: d['videos'].__setitem__(1, 7), ('"videos[1]"', 'is 7', 'object')),
        (lambda d: d.update(annotations={'a': 1}), ('"annotations"', 'list of objects')),
        (lambda d: d['categories'][1].pop('name'), ('categories[1]', '"name"', 'missing')),
        (
            lambda d: d['annotations'][2].update(video_id=[1]),
            ('annotations[2]', '"video_id"', '[1]'),
        ),
        (lambda d: d['annotations'][0].update(iscrowd='no'), ('"iscrowd"', "'no'", '0 or 1')),
        (lambda d: d['videos'][0]['file_names'].append(3), ('videos[0]', '"file_names"', 'texts')),
        (lambda d: d['annotations'][0]['occlusion'].pop(), ('annotation 1', '"occlusion"', '4')),
    ],
)
def test_values_of_a_wrong_kind_are_named(ytvis, change, words):
    change(ytvis)
    found = _problems(ytvis)
    assert all(word in found[0] for word in ('a.json', *words)), found[0]


def test_all_problems_are_found_but_only_some_shown(ytvis):
    for track in ytvis['annotations']:
        track['segmentations'] = [{'size': [1, 1], 'counts': 'x'} for _ in track['segmentations']]
    assert len(_problems(ytvis)) == 12
    with pytest.raises(AnnotationError, match='and more') as error:
        validate(ytvis, 'a.json', require_annotations=True)
    assert len(str(error.value).splitlines()) == 11


@pytest.mark.parametrize('text', ['[1, 2]', '"x"', '{"videos": [', ''])
def test_files_that_are_no_data_set(tmp_path, text):
    path = tmp_path / 'c.json'
    path.write_text(text)
    with pytest.raises(AnnotationError, match='c.json'):
        VISClipDataset(ann_file=str(path))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.json.*docs/datasets.md'):
        VISClipDataset(ann_file=str(tmp_path / 'nothing.json'))


def test_the_example_of_the_documentation():
    text = (Path(__file__).parents[2] / 'docs/datasets.md').read_text()
    (example,) = re.findall(r'```json\n(.*?)```', text, re.DOTALL)
    assert _problems(json.loads(example)) == []
