"""Configs by name."""

from pathlib import Path

import pytest

import mmdevis
from mmdevis.apis.config_names import config_folder, find_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
NAMES = sorted(file for file in CONFIGS.rglob('*.py') if '_base_' not in file.parts)


@pytest.mark.parametrize('file', NAMES, ids=lambda file: file.stem)
def test_every_config_is_found_by_its_name(file):
    assert find_config(file) == file
    assert find_config(file.stem) == find_config(file.name) == file
    assert find_config(file.relative_to(CONFIGS).with_suffix('')) == file


def test_a_file_goes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAMES[0].name).write_text('')
    assert find_config(NAMES[0].name) == Path(NAMES[0].name)


def test_names_that_look_alike_are_offered():
    with pytest.raises(FileNotFoundError, match='did you mean devis_r50_4xb1-9e_youtubevis2019'):
        find_config('devis_r50_4xb1-9e_youtubevis19')


@pytest.mark.parametrize('name', ['/devis_r50_4xb1-9e_youtubevis2019', 'default_runtime', ''])
def test_no_such_config(name):
    with pytest.raises(FileNotFoundError, match='there is no such config file'):
        find_config(name)


def test_a_name_that_several_configs_have(tmp_path, monkeypatch):
    for folder in ('devis/a', 'devis/b'):
        (tmp_path / 'configs' / folder).mkdir(parents=True)
        (tmp_path / 'configs' / folder / 'same.py').write_text('')
    monkeypatch.setattr(mmdevis, '__file__', str(tmp_path / 'mmdevis/__init__.py'))
    with pytest.raises(FileNotFoundError, match='several .*devis/a/same.py, devis/b/same.py'):
        find_config('same')
    assert find_config('a/same') == tmp_path / 'configs/devis/a/same.py'


def test_installed_without_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(mmdevis, '__file__', str(tmp_path / 'mmdevis/__init__.py'))
    assert config_folder() is None
    with pytest.raises(FileNotFoundError, match=r'path of a config file.*pip install --no-deps -e'):
        find_config(NAMES[0].stem)
    (tmp_path / 'mmdevis/.mim/configs/devis').mkdir(parents=True)  # where `mim install` puts them
    (tmp_path / 'mmdevis/.mim/configs/devis/some.py').write_text('')
    assert find_config('some').name == 'some.py'
