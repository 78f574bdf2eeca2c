import subprocess
import sys

import pytest

import mmdevis.utils.env as env


def test_report_of_this_environment(capsys):
    assert env.main() == 0
    report = capsys.readouterr().out
    for title in ('mmdevis', 'torch', 'mmcv operators', 'GPU', 'attention on cpu', 'usable'):
        assert title in report
    assert 'not available' not in env.collect()['attention on cpu']


def test_report_goes_on_after_a_broken_package(monkeypatch):
    def broken():
        raise RuntimeError('operators are\nbroken')

    monkeypatch.setattr(env, '_operators', broken)
    report = env.collect()
    assert report['mmcv operators'] == 'not available (operators are)'
    assert report['usable'] == 'yes'


@pytest.mark.slow
def test_report_where_a_framework_is_missing(tmp_path):
    # Hides mmdet from Python; the report must still come, `import mmdevis` must say what to
    # install.
    hide = (
        'import sys, importlib.metadata as m\n'
        'real = m.version\n'
        'def version(name):\n'
        '    if "mmdet" in name: raise m.PackageNotFoundError(name)\n'
        '    return real(name)\n'
        'm.version = version\n'
        'sys.modules["mmdet"] = None\n'
    )
    (tmp_path / 'sitecustomize.py').write_text(hide)
    path = {'PYTHONPATH': str(tmp_path), 'PATH': ''}
    command = [sys.executable, '-m', 'mmdevis.utils.env']
    report = subprocess.run(command, capture_output=True, text=True, env=path, cwd=tmp_path)
    assert report.returncode == 1
    assert 'mmdet             not installed' in report.stdout
    assert 'onedl-mmdetection==3.5.1' in report.stdout
    command = [sys.executable, '-c', 'import mmdevis']
    failed = subprocess.run(command, capture_output=True, text=True, env=path, cwd=tmp_path)
    assert 'mmdet is not installed' in failed.stderr.replace('\n', ' ')
