"""The network asks no tensor for its values: on a GPU each such question waits for all work."""

from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch.utils._python_dispatch import TorchDispatchMode

from mmdevis.testing import build_reduced

CONFIGS = Path(__file__).parents[2] / 'configs' / 'devis'
NAMES = ['devis_r50_4xb1-9e_youtubevis2019.py', 'devis_r18_1xb4-demo_synthvis.py']

# Operators whose result, or its shape, depends on the values of tensors.
QUESTIONS = ('_local_scalar_dense', 'nonzero', 'masked_select', '_unique', 'equal.default')

register_all_modules(init_default_scope=True)


class Questions(TorchDispatchMode):
    """Collects the operators that a GPU's host would have to wait for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func)
        by_mask = name.startswith(('aten.index.Tensor', 'aten.index_put')) and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if by_mask or (any(q in name for q in QUESTIONS) and 'not_equal' not in name):
            self.asked.append(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def questions(monkeypatch):
    mode = Questions()
    # These read the memory of CPU tensors without an operator.
    for method in ('tolist', 'numpy', 'cpu'):
        original = getattr(torch.Tensor, method)

        def asking(tensor, *args, _original=original, _method=method, **kwargs):
            mode.asked.append(_method)
            return _original(tensor, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, method, asking)
    return mode


def run(name, padded):
    cfg = Config.fromfile(CONFIGS / name)
    cfg.merge_from_dict({'model.num_frames': 3, 'model.num_queries': 15})
    cfg.merge_from_dict({'model.test_cfg.stride': 1})
    model = build_reduced(cfg).eval()
    shape = (50, 90) if padded else (64, 96)
    meta = dict(img_shape=shape, batch_input_shape=(64, 96))
    frames = [DetDataSample(metainfo=meta) for _ in range(3)]
    return model, torch.rand(3, 3, 64, 96), frames


@pytest.mark.parametrize('padded', [False, True])
@pytest.mark.parametrize('name', NAMES)
@torch.no_grad()
def test_network_asks_nothing(name, padded, questions):
    model, clip, frames = run(name, padded)
    questions.asked.clear()
    with questions:
        outputs = model.forward_clips(clip, frames)
    assert outputs['hidden_states'].shape[2] == 15
    assert questions.asked == []


@torch.no_grad()
def test_selection_asks_only_which_trajectories_are_distinct(questions):
    model, clip, frames = run(NAMES[1], True)
    outputs = model.forward_clips(clip, frames)
    outputs.pop('memory')
    questions.asked.clear()
    with questions:
        model.bbox_head.select_clip(**outputs, max_instances=5, index=0)
    assert [name.partition('.')[2] for name in questions.asked] == ['_unique2.default']


def test_questions_are_noticed(questions):
    with questions:
        x = torch.arange(3)
        float(x[1]), x.nonzero(), x[x > 0], x.tolist(), bool(x.sum() > 1)
    assert len(questions.asked) == 5


@pytest.mark.gpu
@torch.no_grad()
def test_network_does_not_wait_for_the_gpu():
    model, clip, frames = run(NAMES[0], True)
    model, clip = model.cuda(), clip.cuda()
    model.forward_clips(clip, frames)  # compiles kernels, fills caches
    torch.cuda.set_sync_debug_mode('error')
    try:
        model.forward_clips(clip, frames)
    finally:
        torch.cuda.set_sync_debug_mode('default')
