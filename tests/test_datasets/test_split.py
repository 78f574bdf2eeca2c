import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdevis.datasets.converters import split_videos, ytvis_to_frames
from mmdevis.datasets.validation import validate


def _data(ids):
    return {
        'categories': [{'id': 1, 'name': 'a'}],
        'videos': [{'id': i} for i in ids],
        'annotations': [{'id': n, 'video_id': i} for n, i in enumerate(ids)],
    }


def _ids(part):
    return [video['id'] for video in part['videos']]


@given(
    ids=st.lists(st.integers(1, 10**6), min_size=2, max_size=30, unique=True),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_parts(ids, seed, data):
    number = data.draw(st.integers(1, len(ids) - 1))
    rest, minival = split_videos(_data(ids), number, seed)
    assert len(_ids(minival)) == number
    assert sorted(_ids(rest) + _ids(minival)) == sorted(ids)
    for part in (rest, minival):
        assert [a['video_id'] for a in part['annotations']] == _ids(part)
    # Neither the order of the file nor another size changes who is chosen first.
    other = split_videos(_data(sorted(ids)), number, seed)[1]
    assert set(_ids(other)) == set(_ids(minival))
    if number > 1:
        assert set(_ids(split_videos(_data(ids), number - 1, seed)[1])) < set(_ids(minival))


def test_the_choice_is_the_same_on_every_machine():
    assert _ids(split_videos(_data(range(1, 21)), 3)[1]) == GOLDEN
    assert _ids(split_videos(_data(range(1, 21)), 3, seed=1)[1]) != GOLDEN


# sha256 of '0:1' ... '0:20', the three smallest.
GOLDEN = [15, 18, 20]


@pytest.mark.parametrize('number', [0, 3, 4])
def test_both_parts_need_a_video(number):
    with pytest.raises(ValueError, match=f'{number} of 3'):
        split_videos(_data([1, 2, 3]), number)


@pytest.mark.parametrize('per_frame', [False, True])
def test_command_line(ytvis, tmp_path, run_tool, capsys, per_frame):
    source = tmp_path / 'train.json'
    source.write_text(json.dumps(ytvis_to_frames(ytvis) if per_frame else ytvis))
    run_tool('split_minival.py', source, '--videos', '1', '--out-dir', tmp_path / 'out')
    parts = [json.loads((tmp_path / f'out/train_{n}.json').read_text()) for n in ('sub', 'minival')]
    for part in parts:
        validate(part, 'x', require_annotations=True)
    assert [len(part['videos']) for part in parts] == [2, 1]
    total = 9 if per_frame else 3
    assert sum(len(part['annotations']) for part in parts) == total
    assert 'without' in capsys.readouterr().out


def test_bad_input(ytvis, tmp_path, run_tool):
    ytvis['annotations'] = None
    (tmp_path / 'train.json').write_text(json.dumps(ytvis))
    with pytest.raises(SystemExit, match='null'):
        run_tool('split_minival.py', tmp_path / 'train.json')
    with pytest.raises(SystemExit, match='gone.json'):
        run_tool('split_minival.py', tmp_path / 'gone.json')
    assert [path.name for path in tmp_path.iterdir()] == ['train.json']
