"""Every command and line of Python of docs/export.md, at tiny size, in the order of the page."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from string import Template

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs/export.md'
STEM = 'devis_r18_1xb4-demo_synthvis'
SIZE = (48, 80)


@pytest.fixture
def project(tmp_path, monkeypatch, demo_config, synthvis_root):
    """What the demo leaves behind, tiny and untrained; the current folder."""
    model = demo_config.model
    model.merge(dict(num_frames=2, num_queries=8, test_cfg=dict(stride=1)))
    model.encoder.num_layers = model.decoder.num_layers = 1
    model.bbox_head.layer_weights = None
    run = tmp_path / 'work_dirs/demo' / STEM
    run.mkdir(parents=True)
    demo_config.dump(run / f'{STEM}.py')
    classes = ('disc', 'triangle', 'ring', 'cross')
    state = MODELS.build(model).state_dict()
    torch.save(
        dict(state_dict=state, meta=dict(dataset_meta=dict(classes=classes))),
        run.parent / 'demo.pth',
    )
    (tmp_path / 'data/synthvis_demo').mkdir(parents=True)
    (tmp_path / 'data/synthvis_demo/valid').symlink_to(synthvis_root)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_shell(block, variables):
    """Runs the tools of a shell block in this process, with frames of this test's size."""
    for line in block.replace('\\\n', ' ').splitlines():
        words = shlex.split(Template(line).safe_substitute(variables))
        if re.fullmatch(r'[A-Z]+=.*', words[0]):
            name, _, variables[name] = words[0].partition('=')
            continue
        program, script, *arguments = words
        assert program == 'python'
        size = arguments.index('--size') + 1
        arguments[size : size + 2] = map(str, SIZE)
        spec = importlib.util.spec_from_file_location('documented', ROOT / script)
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        assert tool.main(arguments) == 0


def test_the_page_works(project, capsys):
    pytest.importorskip('onnxscript', reason='needs the extra `export`')
    pytest.importorskip('onnxruntime', reason='needs the extra `export`')
    blocks = re.findall(r'```(bash|python)\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert [kind for kind, _ in blocks] == ['bash', *['python'] * 4]
    names, video = {}, {}
    for kind, block in blocks:
        if kind == 'bash':
            run_shell(block, video)
        else:
            exec(compile(block, str(PAGE), 'exec'), names)
            if 'program' in names and 'exported' not in names:
                # Both formats gave the same, without anything of mmdevis.
                for name in ('scores', 'boxes', 'masks'):
                    np.testing.assert_allclose(
                        names[name], names['outputs'][name], atol=2e-5, rtol=2e-5
                    )
    printed = capsys.readouterr().out
    assert len(re.findall(r'masks: largest difference \d\.\de-0\d', printed)) == 2
    assert names['objects'].shape == (2, 12, 20)
    assert names['label'] in ('disc', 'triangle', 'ring', 'cross')
    frames = [*names['results'], *names['last']]
    assert len(names['video']) == 6
    assert [frame.frame_index for frame in names['results']] == list(range(len(names['results'])))
    assert frames and names['tracks']
    # Nothing but the results.
    assert sorted(path.name for path in (project / 'work_dirs/export').iterdir()) == [
        'demo.onnx',
        'demo.pt2',
    ]
