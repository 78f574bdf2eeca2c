"""metafile.yml and the tables of the README against the configs."""

import re
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / 'configs' / 'devis'
MODELS = yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']
README = (FOLDER / 'README.md').read_text()


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])
def test_entry_describes_its_config(model):
    assert model['Config'] == f'configs/devis/{model["Name"]}.py'
    cfg = Config.fromfile(ROOT / model['Config'])
    assert model['Metadata']['Epochs'] == cfg.train_cfg.max_epochs
    for result in model['Results']:
        assert result['Source'] in ('published', 'ours')
        # The table of the README has the same number, in the row of the config.
        (row,) = [
            line
            for line in README.splitlines()
            if line.startswith('|') and f'{model["Name"]}.py' in line
        ]
        (value,) = result['Metrics'].values()
        assert f'| {value} |' in row
        assert ('ours' in row) == (result['Source'] == 'ours')


def test_every_config_is_in_the_readme():
    text = README
    # `a{1,2}b` and `a-*` stand for several names.
    for head, options, tail in re.findall(r'([\w-]+)\{([\w,]+)\}([\w-]+)', text):
        text += ''.join(f' {head}{option}{tail} ' for option in options.split(','))
    patterns = [p.replace('*', r'[\w-]*') for p in re.findall(r'`([\w*-]+\*[\w*-]*)`', text)]
    for path in FOLDER.glob('**/*.py'):
        if '_base_' in path.parts:
            continue
        named = path.stem in text or any(re.fullmatch(p, path.stem) for p in patterns)
        assert named, path.stem
