"""Commands and links of the documents: they exist, take the arguments shown, and work."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path for path in [*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'), *ROOT.glob('configs/**/*.md')]
)


def commands_of(path: Path) -> list[str]:
    """Commands in the shell blocks of a document, continued lines joined."""
    blocks = re.findall(r'```(?:bash|sh|shell)\n(.*?)```', path.read_text(), re.DOTALL)
    lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith('#')]


def words_of(command: str) -> list[str]:
    """Words of a command without comments and variables set before it."""
    words = shlex.split(command, comments=True)
    while words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
        words.pop(0)
    return words


COMMANDS = sorted(
    {
        command
        for path in DOCUMENTS
        for command in commands_of(path)
        if words_of(command)[:1] in (['python'], ['bash'], ['make'])
    }
)


class Parsed(Exception):  # noqa: N818 (no error: parsing is all that is wanted)
    """Carries what a tool made of its arguments."""


def load(script: str):
    """The module of a script, or of a module's name."""
    if not script.endswith('.py'):
        return importlib.import_module(script)
    name = f'documented_{Path(script).stem}'
    spec = importlib.util.spec_from_file_location(name, ROOT / script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script_and_arguments(words: list[str]) -> tuple[str, list[str]]:
    """What a command runs in the end: `bash tools/dist_train.sh C 4` calls train.py with C."""
    program, script, *arguments = words
    if script == '-m':
        script, *arguments = arguments
    if program == 'bash':
        assert (ROOT / script).is_file(), script
        number = {'dist_train.sh': 1, 'dist_test.sh': 2}[Path(script).name]
        assert int(arguments.pop(number)) > 0
        script = f'tools/{Path(script).stem.removeprefix("dist_")}.py'
    return script, arguments


@pytest.mark.parametrize('command', COMMANDS)
def test_command(command, monkeypatch):
    words = words_of(command)
    for word in words:
        assert not word.startswith('configs/') or (ROOT / word).is_file(), word
    if words[0] == 'make':
        done = subprocess.run(['make', '-n', *words[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert 'setup_env.py' in done.stdout
        return
    script, arguments = script_and_arguments(words)
    if script == 'mmdevis.utils.env':
        return  # takes no arguments; has tests of its own
    module = load(script)
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self, args=None, namespace=None):
        raise Parsed(parse(self, args, namespace))

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', parse_and_stop)
    monkeypatch.setattr('sys.argv', [script, *arguments])
    with pytest.raises(Parsed):
        module.main()


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_repository(document):
    targets = re.findall(r'\]\(([^)\s]+)\)', document.read_text())
    for target in targets:
        if re.match(r'[a-z]+:', target) or target.startswith('#'):
            continue
        path = document.parent / target.partition('#')[0]
        assert path.exists(), f'{document.relative_to(ROOT)} links to {target}, which is not there'


def documented(document: str, script: str) -> list[str]:
    """Arguments of the one command of a document that runs a script."""
    found = [words_of(command) for command in commands_of(ROOT / document)]
    (words,) = [words for words in found if words[:2] == ['python', script]]
    return words[2:]


@pytest.mark.slow
def test_first_steps_and_the_readme_work_word_for_word(tmp_path, monkeypatch, capsys):
    """The same commands, with tiny data and one iteration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')

    script = 'tools/dataset_converters/make_synthvis.py'
    tiny = '--videos 2 --val-videos 1 --frames 4 --size 32 48'.split()
    assert load(script).main([*documented('docs/first_steps.md', script), *tiny]) == 0

    words = documented('docs/first_steps.md', 'tools/train.py')
    options = ['--cfg-options', 'train_cfg.max_epochs=1', f'visualizer.name={tmp_path.name}']
    options += ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']
    assert load('tools/train.py').main([*words, *options]) == 0
    (checkpoint,) = Path('work_dirs/first').glob('*.pth')

    words = documented('docs/first_steps.md', 'tools/test.py')
    assert words[-1] == 'work_dirs/first/CHECKPOINT.pth'
    assert load('tools/test.py').main([*words[:-1], str(checkpoint)]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ('AP50', 'AP75', 'AR1', 'AR10'))

    words = documented('README.md', 'demo/video_demo.py')
    writer = cv2.VideoWriter('VIDEO.mp4', cv2.VideoWriter_fourcc(*'mp4v'), 10, (48, 32))
    for shade in range(0, 250, 50):
        writer.write(np.full((32, 48, 3), shade, np.uint8))
    writer.release()
    # The run of the first steps stands in for that of `make demo`: both keep their config.
    words = [str(checkpoint) if word == 'work_dirs/demo/demo.pth' else word for word in words]
    words = [word.replace('$RUN/', 'work_dirs/first/') for word in words]
    assert load('demo/video_demo.py').main(words) == 0
    assert cv2.VideoCapture('tracks.mp4').get(cv2.CAP_PROP_FRAME_COUNT) == 5
