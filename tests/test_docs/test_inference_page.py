"""Every command of docs/inference.md, at tiny size, in the order of the page."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path
from string import Template

import cv2
import pytest
import torch
from mmdet.registry import MODELS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs/inference.md'
STEM = 'devis_r18_1xb4-demo_synthvis'


def commands() -> list[list[str]]:
    """Words of every Python command in the page's bash blocks, variables replaced."""
    found, variables = [], {}
    for block in re.findall(r'```bash\n(.*?)```', PAGE.read_text(), re.DOTALL):
        for line in block.replace('\\\n', ' ').splitlines():
            words = shlex.split(Template(line).safe_substitute(variables), comments=True)
            if words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
                name, _, value = words[0].partition('=')
                variables[name] = value
            elif words and words[0] == 'python':
                found.append(words[1:])
    return found


def run(words: list[str]) -> None:
    """Runs a tool in this process, on videos of 6 frames."""
    words = ['2' if before == '--start' else word for before, word in zip(['', *words], words)]
    path = ROOT / words[0]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main(words[1:]) == 0, words


@pytest.fixture
def project(tmp_path, monkeypatch, demo_config, demo_config_file, synthvis_root):
    """What the demo leaves behind, tiny and untrained; the current folder."""
    demo = tmp_path / 'work_dirs/demo'
    for stem in (STEM, 'devis_r18_1xb8-demo-images_synthvis'):
        logs = demo / stem / '20250101_000000/vis_data'
        logs.mkdir(parents=True)
        records = [
            dict(step=s, loss=9.0 / s, loss_cls=2.0 / s, loss_mask=1.0 / s) for s in range(1, 8)
        ]
        (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, records)))
    shutil.copy(demo_config_file, demo / STEM / f'{STEM}.py')
    model = MODELS.build(demo_config.model)
    classes = ('disc', 'triangle', 'ring', 'cross')
    state = dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=classes)))
    torch.save(state, demo / 'demo.pth')
    (tmp_path / 'data/synthvis_demo').mkdir(parents=True)
    (tmp_path / 'data/synthvis_demo/valid').symlink_to(synthvis_root)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    return tmp_path


def test_commands_of_the_page(project):
    lines = commands()
    assert {Path(words[0]).stem for words in lines} >= {
        'browse_dataset',
        'draw_tracks',
        'plot_curves',
        'test',
        'visualize_attention',
    }
    for words in lines:
        run(words)
    made = project / 'work_dirs/pictures'
    assert len(list((made / 'clips').glob('clip_*_video_*.jpg'))) == 3
    assert len(list((made / 'test').glob('*/videos/video_*.png'))) == 2
    assert sorted(p.name for p in (made / 'tracks').iterdir()) == ['video_1.jpg', 'video_2.jpg']
    assert sorted(p.name for p in (made / 'attention').iterdir()) == [
        'encoder.jpg',
        'frames.jpg',
        'layers.jpg',
        'mask_attention.jpg',
    ]
    pictures = [p for p in made.rglob('*') if p.suffix in ('.png', '.jpg')]
    for picture in pictures:
        assert cv2.imread(str(picture)).std() > 5, picture


def test_pictures_of_the_page_are_there_and_small():
    names = re.findall(r'!\[[^]]*\]\((.*?)\)', PAGE.read_text())
    assert names
    for name in names:
        assert (PAGE.parent / name).stat().st_size < 300_000, name
