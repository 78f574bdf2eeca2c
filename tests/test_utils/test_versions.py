import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmdevis.utils.versions as versions

ONEDL = {'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmdetection': '3.5.1'}
OPENMMLAB = {'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmdet': '3.3.0'}
TORCH = {'torch': '2.13.0+cpu'}


@pytest.fixture
def install(monkeypatch):
    """Pretends that exactly these distributions are installed."""

    def pretend(*packages):
        found = {name: version for group in packages for name, version in group.items()}
        monkeypatch.setattr(versions, '_distribution_version', found.get)
        monkeypatch.setattr(versions.importlib, 'import_module', _nothing_to_import)
        monkeypatch.setattr(importlib.util, 'find_spec', lambda name: object())

    return pretend


def _nothing_to_import(name):
    raise ImportError(name)


@pytest.mark.parametrize(('packages', 'brand'), [(ONEDL, 'onedl'), (OPENMMLAB, 'openmmlab')])
def test_both_brands_are_accepted(install, packages, brand):
    install(TORCH, packages)
    found = versions.check_frameworks()
    assert {found[name].brand for name in ('mmengine', 'mmcv', 'mmdet')} == {brand}


@pytest.mark.parametrize(
    ('packages', 'words'),
    [
        ([TORCH], ['mmcv is not installed', 'mmengine is not installed', 'mmdet is not installed']),
        ([ONEDL], ['torch is not installed', '2.4', 'pip install torch']),
        ([ONEDL, {'torch': '2.1.0'}], ['torch 2.1.0 is installed', '>= 2.4']),
        ([TORCH, ONEDL, {'onedl-mmcv': '2.0.1'}], ['onedl-mmcv 2.0.1', '>= 2.1.0 and < 2.4.0']),
        ([TORCH, OPENMMLAB, {'mmdet': '2.28.0'}], ['mmdet 2.28.0', '>= 3.2.0']),
        ([TORCH, ONEDL, OPENMMLAB], ['onedl-mmcv 2.3.6 and mmcv 2.1.0 are both installed']),
        ([TORCH, OPENMMLAB, {'mmcv': '2.2.0'}], ['mmdet 3.3.0 refuses mmcv 2.2.0']),
        (
            [TORCH, {'mmcv-lite': '2.1.0', 'mmengine': '0.10.7', 'mmdet': '3.3.0'}],
            ['mmcv-lite has no compiled operators'],
        ),
    ],
)
def test_message_names_the_problem_and_both_ways_out(install, packages, words):
    install(*packages)
    with pytest.raises(ImportError) as raised:
        versions.check_frameworks()
    message = str(raised.value)
    for word in words:
        assert word in message
    assert 'pip install --no-build-isolation onedl-mmengine==0.10.12 onedl-mmcv==2.3.6' in message
    assert 'pip install --no-build-isolation mmengine==0.10.7 mmcv==2.1.0 mmdet==3.3.0' in message


def test_setuptools_without_pkg_resources_matters_to_one_brand_only(install, monkeypatch):
    install(TORCH, ONEDL)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    versions.check_frameworks()
    install(TORCH, OPENMMLAB)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='setuptools<81'):
        versions.check_frameworks()


@given(st.lists(st.integers(0, 99), min_size=1, max_size=4), st.sampled_from(['', 'rc1', '+cpu']))
def test_parse_version_reads_the_numbers(numbers, ending):
    parsed = versions.parse_version('.'.join(map(str, numbers)) + ending)
    assert parsed[: len(numbers)] == tuple(numbers)
    assert len(parsed) >= 3
    assert not any(parsed[len(numbers) :])


@pytest.mark.parametrize(
    ('name', 'version', 'accepted'),
    [
        ('torch', '2.4.0', True),
        ('torch', '2.3.1', False),
        ('torch', '3.0', True),
        ('mmcv', '2.1.0', True),
        ('mmcv', '2.3.6', True),
        ('mmcv', '2.4.0', False),
        ('mmengine', '0.9.1', False),
        ('mmengine', '1.0.0', False),
        ('mmdet', '3.1.0', False),
    ],
)
def test_is_accepted(name, version, accepted):
    assert versions.is_accepted(name, version) is accepted


@pytest.mark.parametrize(
    ('error', 'words'),
    [
        (ModuleNotFoundError('No module', name='mmcv._ext'), 'built without them'),
        (
            ImportError('_ext.so: undefined symbol: _ZN3c10'),
            'another torch than the installed 2.13',
        ),
        (ImportError('libcudart.so.12: cannot open'), 'libcudart.so.12'),
    ],
)
def test_operators_that_do_not_load_say_why(install, monkeypatch, error, words):
    install(TORCH, ONEDL)

    def fail(name):
        raise error

    monkeypatch.setattr(versions.importlib, 'import_module', fail)
    with pytest.raises(ImportError, match=words) as raised:
        versions.check_operators()
    assert 'onedl-mmcv==2.3.6' in str(raised.value)


def test_what_is_installed_here_is_accepted():
    versions.check_frameworks()
    versions.check_operators()


def test_pinned_versions_are_accepted():
    for pins in versions.PINNED.values():
        assert all(versions.is_accepted(name, version) for name, version in pins.items())
