"""Files that are complete or not there."""

from __future__ import annotations

import pytest

from mmdevis.utils.pending_file import PendingFile


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_name_comes_with_the_commit(tmp_path):
    file = PendingFile(tmp_path / 'new' / 'a.json')
    file.temporary.write_text('1')
    assert not file.path.exists() and file.temporary.suffix == '.json'
    file.commit()
    file.discard()
    assert names(tmp_path / 'new') == ['a.json'] and file.path.read_text() == '1'


def test_discarded(tmp_path):
    file = PendingFile(tmp_path / 'a.json')
    file.temporary.write_text('1')
    file.discard()
    assert names(tmp_path) == []


def test_existing_file(tmp_path):
    (tmp_path / 'a.json').write_text('old')
    with pytest.raises(FileExistsError, match='a.json exists already.*--force'):
        PendingFile(tmp_path / 'a.json')
    file = PendingFile(tmp_path / 'a.json', force=True)
    file.temporary.write_text('new')
    assert file.path.read_text() == 'old'
    file.commit()
    assert file.path.read_text() == 'new'


def test_folder_of_the_name(tmp_path):
    with pytest.raises(IsADirectoryError, match='is a folder'):
        PendingFile(tmp_path, force=True)


@pytest.mark.parametrize('content', [None, ''])
def test_nothing_written(tmp_path, content):
    (tmp_path / 'a.json').write_text('old')
    file = PendingFile(tmp_path / 'a.json', force=True)
    if content is not None:
        file.temporary.write_text(content)
    with pytest.raises(OSError, match='nothing was written'):
        file.commit()
    assert file.path.read_text() == 'old'
