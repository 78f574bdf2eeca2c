import copy
import functools
import json
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdevis.checkpoints import revert_to_official
from mmdevis.testing import reduce_model

CONFIGS = Path(__file__).parents[2] / 'configs' / 'devis'
VIDEO = 'devis_r50_4xb1-9e_youtubevis2019.py'
IMAGE = 'deformable-mask-detr_r50_8xb2-24e_coco.py'

register_all_modules(init_default_scope=True)


@functools.cache
def read(name):
    return Config.fromfile(CONFIGS / name)


class Reduced:
    """Reduced models of real configs, and checkpoints of them as the release would write them."""

    def __init__(self, folder):
        self.folder = folder

    def config(self, name, **overrides):
        """Config with the reduced model, also as a file (its path is `filename`)."""
        cfg = copy.deepcopy(read(name))
        cfg.merge_from_dict({f'model.{key}': value for key, value in overrides.items()})
        cfg.model = reduce_model(cfg.model)
        # Not `Config.dump`, which takes seconds to lay the file out.
        path = self.folder / f'config_{len(list(self.folder.iterdir()))}.json'
        path.write_text(json.dumps(cfg.to_dict()))
        return Config.fromfile(path)

    def model(self, name, **overrides):
        return MODELS.build(self.config(name, **overrides).model)

    def official(self, name, **overrides):
        """State dict in the release's layout with random values."""
        if name.startswith('deformable-mask-detr'):
            overrides = {'bbox_head.num_classes': 91, **overrides}
        state = self.model(name, **overrides).state_dict()
        torch.manual_seed(1)
        return revert_to_official(
            {
                key: torch.randn_like(value) if value.is_floating_point() else value
                for key, value in state.items()
            }
        )

    def save(self, content, name='official.pth'):
        torch.save(content, self.folder / name)
        return self.folder / name


@pytest.fixture
def reduced(tmp_path):
    (tmp_path / 'work').mkdir()
    return Reduced(tmp_path / 'work')
