import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from mmdevis.utils.checkpoint import (
    CheckpointError,
    check_belongs,
    compare,
    load_checkpoint_strictly,
    read_checkpoint,
)
from mmdevis.utils.safe_globals import mmengine_safe_globals


def model(width=3, classes=2):
    return nn.Sequential(nn.Linear(2, width), nn.Linear(width, classes))


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=model().state_dict(), meta=dict(epoch=3)), path)
    return path


def test_loads_into_its_model(saved):
    target = model()
    checkpoint = load_checkpoint_strictly(target, saved)
    assert checkpoint['meta']['epoch'] == 3
    for name, value in checkpoint['state_dict'].items():
        assert torch.equal(target.state_dict()[name], value)


def test_bare_weights_and_the_prefix_of_a_wrapper(tmp_path):
    weights = model().state_dict()
    torch.save({f'module.{name}': value for name, value in weights.items()}, tmp_path / 'b.pth')
    target = model()
    load_checkpoint_strictly(target, tmp_path / 'b.pth')
    assert torch.equal(target[0].weight, weights['0.weight'])


def test_another_config_is_refused_with_names_and_leaves_the_model_alone(saved):
    target = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 7), nn.Linear(7, 1))
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(CheckpointError) as raised:
        load_checkpoint_strictly(target, saved)
    message = str(raised.value)
    assert '2 of the 6 tensors' in message
    assert '2 in the config but not in the checkpoint' in message
    assert '2.weight' in message
    assert '1.weight: checkpoint (2, 3), config (7, 3)' in message
    assert str(saved) in message
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_unexpected_names_are_told_and_long_lists_are_cut(saved):
    weights = {**model().state_dict(), **{f'extra{i}': torch.zeros(1) for i in range(30)}}
    differences = compare(model(), weights)
    assert len(differences.unexpected) == 30
    assert 'and 10 more' in differences.describe(limit=20)


def test_fine_tuning_may_change_the_head_but_not_everything(saved):
    check_belongs(model(classes=5), saved, strict=False)  # 2 of 4 tensors fit
    with pytest.raises(CheckpointError, match='another config'):
        check_belongs(model(width=4), saved, strict=False)  # only the last bias fits


@pytest.mark.parametrize('share', [0.0, 0.3, 0.9])
def test_cut_file(tmp_path, saved, share):
    content = saved.read_bytes()
    path = tmp_path / 'cut.pth'
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=r'cut\.pth'):
        read_checkpoint(path)


def test_missing_file_and_other_files(tmp_path):
    with pytest.raises(CheckpointError, match='There is no checkpoint file'):
        read_checkpoint(tmp_path / 'no.pth')
    (tmp_path / 'text.pth').write_text('hello ' * 500)
    with pytest.raises(CheckpointError, match=r'text\.pth'):
        read_checkpoint(tmp_path / 'text.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match='holds a list'):
        read_checkpoint(tmp_path / 'list.pth')


class Evil:
    """Runs a command when it is unpickled without care."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_code_in_a_checkpoint_does_not_run(tmp_path):
    path, target = tmp_path / 'evil.pth', tmp_path / 'made'
    torch.save(dict(state_dict={}, extra=Evil(target)), path)
    with pytest.raises(CheckpointError, match='mkdir'):
        read_checkpoint(path)
    assert not target.exists()


def test_what_a_runner_writes_is_read(tmp_path, monkeypatch):
    history = HistoryBuffer()
    history.update(1.5)
    content = dict(
        state_dict={},
        message_hub=dict(log_scalars=dict(loss=history)),
        scalars=[np.float64(0.5), np.int64(3), np.arange(3, dtype=np.uint8), np.bool_(True)],
    )
    torch.save(content, tmp_path / 'runner.pth')
    monkeypatch.setattr(HistoryBuffer, '_statistics_methods', {})  # as in a process of its own
    checkpoint = read_checkpoint(tmp_path / 'runner.pth')
    assert checkpoint['message_hub']['log_scalars']['loss'].mean() == 1.5
    assert checkpoint['scalars'][1] == 3


def test_files_of_the_other_numpy_generation_are_read(tmp_path):
    # A protocol 2 pickle names numpy's functions as text, so the other name can be written in.
    path = tmp_path / 'numpy.pth'
    torch.save(dict(state_dict={}, value=np.float64(2.5)), path)
    content = path.read_bytes()
    old, new = b'numpy.core.multiarray', b'numpy._core.multiarray'
    here, other = (new, old) if new in content else (old, new)
    assert here in content
    data = pickle.dumps(np.float64(2.5), protocol=2).replace(here, other)
    with torch.serialization.safe_globals(mmengine_safe_globals()):
        unpickler = torch._weights_only_unpickler.load
        import io

        assert unpickler(io.BytesIO(data), encoding='utf-8') == 2.5


class Reach:
    """Takes an attribute of something while it is unpickled, as a history buffer does."""

    def __init__(self, owner, name):
        self.what = owner, name

    def __reduce__(self):
        return getattr, self.what


@pytest.mark.parametrize(
    ('owner', 'name'), [(np.ndarray, 'tofile'), (HistoryBuffer, '__init__'), (torch.Tensor, 'mean')]
)
def test_getattr_reaches_nothing_but_the_statistics(tmp_path, owner, name):
    torch.save(dict(state_dict={}, extra=Reach(owner, name)), tmp_path / 'reach.pth')
    with pytest.raises(CheckpointError, match='was not loaded'):
        read_checkpoint(tmp_path / 'reach.pth')
    assert getattr not in mmengine_safe_globals()
