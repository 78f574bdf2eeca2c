from pathlib import Path

import pytest
from mmengine.fileio import get_file_backend


@pytest.fixture
def backend():
    return get_file_backend(backend_args=dict(backend='atomic_local'))


def test_writes_into_a_new_folder(tmp_path, backend):
    backend.put(b'abc', tmp_path / 'new' / 'file')
    backend.put_text('ä', tmp_path / 'new' / 'text')
    assert (tmp_path / 'new' / 'file').read_bytes() == b'abc'
    assert (tmp_path / 'new' / 'text').read_text('utf-8') == 'ä'


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, backend, monkeypatch):
    target = tmp_path / 'file'
    target.write_text('old')

    def full_disk(path, data):
        with path.open('wb') as file:
            file.write(data[:1])
        raise OSError('No space left on device')

    monkeypatch.setattr(Path, 'write_bytes', full_disk)
    with pytest.raises(OSError, match='No space'):
        backend.put(b'new', target)
    assert target.read_bytes() == b'old'
    assert [p.name for p in tmp_path.iterdir()] == ['file']
