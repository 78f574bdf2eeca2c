"""Which back end runs, who may say so, and what is said when it cannot."""

import logging
import threading

import pytest
import torch

from mmdevis.ops import (
    BACKENDS,
    ENV_VARIABLE,
    available_backends,
    dispatch,
    resolve_backend,
    use_backend,
)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv(ENV_VARIABLE, raising=False)


def test_argument_over_context_over_environment(monkeypatch):
    assert resolve_backend('cpu') in ('cpu', 'gather')
    monkeypatch.setenv(ENV_VARIABLE, 'reference')
    assert resolve_backend('cpu') == 'reference'
    with use_backend('gather'):
        assert resolve_backend('cpu') == 'gather'
        assert resolve_backend('cpu', backend='mmcv') == 'mmcv'
        with use_backend('reference'):
            assert resolve_backend('cpu') == 'reference'
        assert resolve_backend('cpu') == 'gather'
    assert resolve_backend('cpu') == 'reference'


def test_context_ends_with_an_exception():
    before = resolve_backend('cpu')
    with pytest.raises(KeyError), use_backend('reference'):
        raise KeyError
    assert resolve_backend('cpu') == before


def test_context_holds_for_its_thread_only():
    seen = []
    with use_backend('reference'):
        thread = threading.Thread(target=lambda: seen.append(resolve_backend('cpu')))
        thread.start()
        thread.join()
        assert resolve_backend('cpu') == 'reference'
    assert seen != ['reference']


def test_auto_undoes_an_outer_choice(monkeypatch):
    monkeypatch.setenv(ENV_VARIABLE, 'reference')
    assert resolve_backend('cpu', backend='auto') != 'reference'


def test_unknown_names_say_where_they_come_from(monkeypatch):
    with pytest.raises(ValueError, match='argument.*fastest'):
        resolve_backend('cpu', backend='fastest')
    with pytest.raises(ValueError, match='use_backend'), use_backend('fastest'):
        pass
    monkeypatch.setenv(ENV_VARIABLE, 'fastest')
    with pytest.raises(ValueError, match=ENV_VARIABLE):
        resolve_backend('cpu')


def test_impossible_choice_says_why():
    with pytest.raises(RuntimeError, match='triton.*cuda only'):
        resolve_backend('cpu', backend='triton')
    with pytest.raises(RuntimeError, match='cpu only'):
        resolve_backend('cuda', backend='cpu')


@pytest.mark.parametrize('device', ['cpu', 'cuda', 'mps'])
def test_something_always_runs(device):
    assert resolve_backend(device) in BACKENDS
    assert available_backends(device)['reference'] is None


def test_float64_is_not_given_to_triton(monkeypatch):
    monkeypatch.setattr(dispatch, '_unavailable', lambda name, device: None)
    assert resolve_backend('cuda', torch.float32) == 'triton'
    assert resolve_backend('cuda', torch.float64) == 'mmcv'


def test_choice_is_logged_once(caplog):
    dispatch._log_choice.cache_clear()
    with caplog.at_level(logging.INFO, logger='mmdevis'):
        for _ in range(3):
            resolve_backend('cpu', backend='reference')
    assert [record.message for record in caplog.records] == [
        "Temporal deformable attention on cpu: back end 'reference' (argument)."
    ]
