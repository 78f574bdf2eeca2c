"""A small video model and the files that it is exported to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

from mmdevis.export import ClipDescription, export_program, save_onnx, save_program
from mmdevis.testing import reduce_model

CONFIGS = Path(__file__).parents[2] / 'configs/devis'
SIZE = (40, 72)
CLASSES = ('disc', 'triangle', 'ring', 'cross', 'star', 'bar')

register_all_modules(init_default_scope=True)


def build(name: str, frames: int = 3) -> nn.Module:
    """Model of a config: narrow, two decoder layers, clips of a few frames, weights that matter."""
    cfg = Config.fromfile(CONFIGS / name)
    head = dict(layer_weights=None, aux_mask_layers=())
    queries = 4 * frames
    cfg.merge_from_dict(
        dict(model=dict(num_frames=frames, num_queries=queries, bbox_head=head))
        | {'model.test_cfg.stride': 1, 'model.test_cfg.max_per_clip': 7}
    )
    torch.manual_seed(0)
    small = reduce_model(cfg.model, num_layers=2)
    small['encoder']['num_layers'] = 1
    model = MODELS.build(small)
    # Boxes, offsets and much else start at zero, where a wrong export would go unseen.
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return model.eval()


@pytest.fixture(scope='session')
def build_small() -> Callable[..., nn.Module]:
    return build


@pytest.fixture(scope='session')
def model() -> nn.Module:
    return build('devis_r18_1xb4-demo_synthvis.py')


@pytest.fixture(scope='session')
def clips(description) -> list[torch.Tensor]:
    """Two clips, (1, T, 3, H, W); what was traced were zeros."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(description.input_shape, generator=generator) for _ in range(2)]


@pytest.fixture(scope='session')
def description(model) -> ClipDescription:
    return ClipDescription.of(model, SIZE, CLASSES)


@pytest.fixture(scope='session')
def program(model):
    """With PyTorch's own operators only."""
    return export_program(model, SIZE)


@pytest.fixture(scope='session')
def program_file(program, description, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('export') / 'clip.pt2'
    save_program(program, path, description)
    return path


@pytest.fixture(scope='session')
def onnx_file(program, description, tmp_path_factory) -> Path:
    pytest.importorskip('onnxscript', reason='needs the extra `export`')
    pytest.importorskip('onnxruntime', reason='needs the extra `export`')
    path = tmp_path_factory.mktemp('export') / 'clip.onnx'
    save_onnx(program, path, description)
    return path
