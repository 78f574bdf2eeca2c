"""The set-up script, without installing anything."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tools' / 'setup'))
import console
import environment as environment_module
import mmcv_wheel
import setup_env
import torch_choice
from console import Progress, SetupError, duration, stream_lines
from environment import Environment


class FakeEnvironment(Environment):
    """An environment whose packages are a dict; pip commands are kept, and carried out on it."""

    def __init__(self, root, owned=True, packages=None):
        super().__init__(root, owned)
        self.packages = dict(packages or {})
        self.commands = []
        self.broken = set()

    def versions(self, names):
        return {name: self.packages.get(name) for name in names}

    def failure(self, code):
        return next((f'{word} is broken' for word in self.broken if word in code), None)

    def ask(self, code):
        return 'cpython-311 2.13.0+cpu' if 'cache_tag' in code else '3.11'

    def pip(self, *arguments, what, env=None):
        self.commands.append(arguments)
        for word in arguments[1:]:
            name, _, version = word.partition('==')
            if arguments[0] == 'uninstall':
                self.packages.pop(name, None)
            elif version:
                self.packages[name] = version


@pytest.fixture
def fake(tmp_path):
    return lambda **settings: FakeEnvironment(tmp_path, **settings)


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [(0, '0 s'), (59.4, '59 s'), (59.6, '1 min 00 s'), (200, '3 min 20 s'), (3900, '1 h 05 min')],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_progress_estimates_from_this_run_only(capsys):
    now = [0.0]
    progress = Progress('compiling', total=100, interval=10, clock=lambda: now[0])
    progress.update(40)  # done by an earlier, interrupted run
    now[0] = 20.0
    progress.update(50)
    assert progress.remaining(50) == pytest.approx(100)  # 2 s per file, 50 files
    now[0] = 25.0
    progress.update(51)  # too soon for another line of a log file
    now[0] = 130.0
    progress.update(100)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert 'about 1 min 40 s left' in lines[1]
    assert '100/100' in lines[2]
    assert 'left' not in lines[2]


def test_failed_build_shows_the_last_lines_and_keeps_all(tmp_path):
    log = tmp_path / 'build.log'
    code = 'import sys; print("[1/2] c++ a.cpp"); print("fatal error: x.h"); sys.exit(3)'
    with pytest.raises(SetupError, match=r'status 3(.|\n)*fatal error: x\.h'):
        list(stream_lines([sys.executable, '-c', code], log, {}))
    assert '[1/2]' in log.read_text()


def test_build_that_is_stopped_leaves_no_process(tmp_path):
    code = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'
    lines = stream_lines([sys.executable, '-c', code], tmp_path / 'log', {})
    pid = int(next(lines))
    lines.close()  # what Ctrl-C in the caller leads to
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_commands_never_wait_for_an_answer():
    console.run([sys.executable, '-c', 'import sys; assert sys.stdin.read() == ""'], 'reading')


@pytest.mark.parametrize(
    ('choice', 'wanted', 'build'),
    [
        ('', f'torch=={torch_choice.DEFAULT_TORCH}', None),
        ('2.6.0', 'torch==2.6.0', None),
        ('2.6.0+cu124', 'torch==2.6.0+cu124', 'cu124'),
        ('>=2.5,<2.7', 'torch>=2.5,<2.7', None),
        ('torch==2.5.1', 'torch==2.5.1', None),
        ('/x/torch-2.6.0+cpu-cp311.whl', '/x/torch-2.6.0+cpu-cp311.whl', None),
    ],
)
def test_torch_requirement(choice, wanted, build):
    assert torch_choice.requirement(choice) == (wanted, build)


@pytest.mark.parametrize(
    ('choice', 'gpu', 'online', 'index'),
    [
        ('', False, True, 'cpu'),
        ('', False, False, None),
        ('', True, True, None),
        ('2.6.0+cu124', True, True, 'cu124'),
        ('./torch.whl', False, True, None),
    ],
)
def test_where_torch_comes_from(fake, monkeypatch, choice, gpu, online, index):
    asked = []
    monkeypatch.setattr(torch_choice, 'reachable', lambda url: asked.append(url) or online)
    environment = fake()
    torch_choice.install(environment, choice, gpu)
    (command,) = environment.commands
    assert len(asked) <= 1
    if index is None:
        assert '--index-url' not in command
    else:
        assert command[command.index('--index-url') + 1].endswith(f'/{index}')


def test_device_word_is_checked():
    assert torch_choice.has_gpu('cuda')
    assert not torch_choice.has_gpu('cpu')
    with pytest.raises(SetupError, match='DEVICE=tpu'):
        torch_choice.has_gpu('tpu')


@pytest.fixture
def versions():
    return setup_env.load_versions_module()


ONEDL = {'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmdetection': '3.5.1'}
OPENMMLAB = {'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmdet': '3.3.0'}


@pytest.mark.parametrize(
    ('present', 'wanted', 'brand'),
    [
        ({}, '', 'onedl'),
        ({}, 'openmmlab', 'openmmlab'),
        (ONEDL, '', 'onedl'),
        (OPENMMLAB, '', 'openmmlab'),
        ({'mmcv': '2.1.0'}, '', 'openmmlab'),
    ],
)
@pytest.mark.parametrize('owned', [True, False])
def test_brand(fake, versions, present, wanted, brand, owned):
    environment = fake(owned=owned, packages=present)
    assert setup_env.choose_brand(environment, wanted, versions) == brand
    assert environment.commands == []


def test_other_brand_of_a_user_stays_untouched(fake, versions):
    environment = fake(owned=False, packages=OPENMMLAB)
    with pytest.raises(SetupError, match='left as it is'):
        setup_env.choose_brand(environment, 'onedl', versions)
    assert environment.packages == OPENMMLAB
    assert environment.commands == []


def test_other_brand_in_the_own_environment_is_removed(fake, versions):
    environment = fake(packages=OPENMMLAB)
    assert setup_env.choose_brand(environment, 'onedl', versions) == 'onedl'
    assert environment.packages == {}


def test_unknown_brand(fake, versions):
    with pytest.raises(SetupError, match='FRAMEWORK=mmlab'):
        setup_env.choose_brand(fake(), 'mmlab', versions)


@pytest.fixture
def no_machine(monkeypatch, tmp_path):
    """Takes away the GPU, the network and the wheels of this machine."""
    monkeypatch.setattr(torch_choice, 'has_gpu', lambda device: False)
    monkeypatch.setattr(torch_choice, 'reachable', lambda url: False)
    monkeypatch.setattr(setup_env, 'run', lambda *args, **settings: '')

    def install(environment, distribution, version, gpu, shared, options):
        environment.pip('install', f'{distribution}=={version}', what='installing')

    monkeypatch.setattr(mmcv_wheel, 'install', install)


STEPS = [
    'torch',
    'build tools',
    'mmengine',
    'mmcv',
    'mmdet',
    'mmdevis',
    'opencv',
    'trackeval',
    'import',
]


def test_second_set_up_has_nothing_to_do(fake, no_machine):
    environment = fake()
    steps = setup_env.plan(environment, 'onedl', '', '')
    assert setup_env.carry_out(environment, steps) == STEPS
    environment.commands.clear()
    steps = setup_env.plan(environment, 'onedl', '', '')
    assert setup_env.carry_out(environment, steps) == []
    assert environment.commands == []


@pytest.mark.parametrize('failing', STEPS[2:6])
def test_interrupted_set_up_goes_on_with_that_step(fake, no_machine, failing):
    environment = fake()
    steps = setup_env.plan(environment, 'onedl', '', '')
    at = STEPS.index(failing)
    install = steps[at].install

    def interrupt():
        install()
        raise KeyboardInterrupt

    steps[at].install, steps[at].usable = interrupt, lambda: False
    with pytest.raises(KeyboardInterrupt):
        setup_env.carry_out(environment, steps)
    again = setup_env.plan(environment, 'onedl', '', '')
    assert setup_env.carry_out(environment, again) == STEPS[at:]


def test_package_that_was_removed_by_hand_comes_back(fake, no_machine):
    environment = fake()
    setup_env.carry_out(environment, setup_env.plan(environment, 'onedl', '', ''))
    del environment.packages['onedl-mmdetection']
    steps = setup_env.plan(environment, 'onedl', '', '')
    assert setup_env.carry_out(environment, steps) == ['mmdet']
    assert environment.packages['onedl-mmdetection'] == '3.5.1'


def test_another_torch_makes_mmcv_be_tried_again(fake, no_machine):
    environment = fake()
    setup_env.carry_out(environment, setup_env.plan(environment, 'onedl', '', ''))
    steps = setup_env.plan(environment, 'onedl', '2.6.0', '')
    assert setup_env.carry_out(environment, steps) == ['torch', 'mmcv']
    assert environment.packages['torch'] == '2.6.0'


def test_active_environment_keeps_its_torch_and_frameworks(fake, no_machine):
    there = {'torch': '2.5.1+cu124', **OPENMMLAB, 'mmengine': '0.10.4'}
    environment = fake(owned=False, packages=there)
    setup_env.carry_out(environment, setup_env.plan(environment, 'openmmlab', '', ''))
    assert environment.packages.items() >= there.items()
    installs = [word for command in environment.commands for word in command]
    assert not any(word.startswith(('torch==', 'mmcv==', 'mmengine==')) for word in installs)


def test_active_environment_with_an_old_torch_stops(fake, no_machine):
    environment = fake(owned=False, packages={'torch': '2.1.0'})
    with pytest.raises(SetupError, match=r'torch 2\.1\.0; mmdevis needs >= 2\.4'):
        setup_env.carry_out(environment, setup_env.plan(environment, 'onedl', '', ''))
    assert environment.commands == []


def test_later_installs_cannot_exchange_torch(fake, no_machine):
    environment = fake(packages={'torch': '2.13.0+cpu'})
    setup_env.carry_out(environment, setup_env.plan(environment, 'onedl', '', ''))
    command = next(c for c in environment.commands if 'onedl-mmdetection==3.5.1' in c)
    constraints = Path(command[command.index('-c') + 1]).read_text().splitlines()
    assert 'torch==2.13.0+cpu' in constraints
    assert 'onedl-mmcv==2.3.6' in constraints


def test_opencv_without_libgl_is_replaced_by_its_headless_build(fake, no_machine):
    environment = fake(packages={'opencv-python': '4.12.0.88'})
    environment.broken.add('cv2')
    steps = setup_env.plan(environment, 'onedl', '', '')
    opencv = next(step for step in steps if step.name == 'opencv')
    assert not opencv.usable()
    with pytest.raises(SetupError, match='OpenCV does not load'):
        opencv.install()  # broken for good here; what was tried is what counts
    assert environment.commands[-1][-1] == 'opencv-python-headless==4.12.0.88'


def test_trackeval_never_brings_its_dependencies_and_holds_nothing_up(fake, no_machine, capsys):
    environment = fake()
    environment.broken.add('trackeval')
    steps = setup_env.plan(environment, 'onedl', '', '')
    trackeval = next(step for step in steps if step.name == 'trackeval')
    assert not trackeval.usable()
    trackeval.install()
    assert '--no-deps' in environment.commands[-1] and environment.packages['trackeval']

    def fail(*arguments, what, env=None):
        raise SetupError('there is no network')

    environment.pip = fail
    trackeval.install()
    assert 'HOTA' in capsys.readouterr().out


def test_state_file_that_was_cut_means_nothing_is_finished(fake):
    environment = fake()
    environment.write_finished({'torch': {'request': '', 'installed': {}}})
    assert environment.finished()
    path = environment.root / environment_module.STATE_FILE
    path.write_text(path.read_text()[:10])
    assert environment.finished() == {}
    assert json.loads('{}') == {}


def wheel(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache' / 'mmdevis'


NAME = 'onedl_mmcv-2.3.6-cp311-cp311-linux_x86_64.whl'


def test_kept_wheel_comes_before_the_shared_one(fake, cache, tmp_path, monkeypatch):
    environment = fake()
    kept = cache / 'wheels' / mmcv_wheel.build_key(environment, 'onedl-mmcv', '2.3.6', False)
    wheel(kept, NAME)
    wheel(tmp_path / 'shared', NAME)
    mmcv_wheel.install(environment, 'onedl-mmcv', '2.3.6', False, [tmp_path / 'shared'])
    assert str(kept) in environment.commands[0]
    assert not any(str(tmp_path / 'shared') in command for command in environment.commands)


def test_wheel_that_does_not_work_here_is_left_and_a_build_begins(
    fake, cache, tmp_path, monkeypatch
):
    environment = fake()
    environment.broken.add('mmcv._ext')
    wheel(tmp_path / 'shared', NAME)
    monkeypatch.setattr(mmcv_wheel, 'missing_for_build', lambda *args: [])

    def build(environment, distribution, version, gpu, work, keep):
        environment.broken.clear()
        wheel(keep, NAME)

    monkeypatch.setattr(mmcv_wheel, 'build', build)
    mmcv_wheel.install(environment, 'onedl-mmcv', '2.3.6', False, [tmp_path / 'shared'])
    assert any(command[0] == 'uninstall' for command in environment.commands)
    assert environment.packages['onedl-mmcv'] == '2.3.6'


def test_nothing_is_built_when_something_is_missing(fake, cache, monkeypatch):
    monkeypatch.setattr(mmcv_wheel, 'missing_for_build', lambda *args: ['no C++ compiler (g++)'])
    monkeypatch.setattr(mmcv_wheel, 'build', lambda *args: pytest.fail('built'))
    with pytest.raises(SetupError, match=r'no C\+\+ compiler(.|\n)*Nothing was built'):
        mmcv_wheel.install(fake(), 'onedl-mmcv', '2.3.6', False, [])


def test_build_keeps_the_wheel_and_goes_on_after_an_interruption(
    fake, tmp_path, monkeypatch, capsys
):
    environment, work, keep = fake(), tmp_path / 'work', tmp_path / 'keep'
    sources = work / 'source' / 'mmcv' / 'ops' / 'csrc' / 'pytorch'
    sources.mkdir(parents=True)
    for number in range(5):
        (sources / f'{number}.cpp').touch()
    seen = {}

    def compile_first(command, log, settings):
        yield '[1/5] c++ 0.cpp'
        raise KeyboardInterrupt

    def compile_rest(command, log, settings):
        seen.update(settings, command=command)
        yield from ('  Building wheel', '  [1/4] c++ 1.cpp', '  [4/4] c++ 4.cpp')
        wheel(work / 'dist', NAME)

    build = lambda: mmcv_wheel.build(environment, 'onedl-mmcv', '2.3.6', False, work, keep)  # noqa: E731
    monkeypatch.setattr(mmcv_wheel, 'stream_lines', compile_first)
    with pytest.raises(KeyboardInterrupt):
        build()
    assert sources.exists()
    assert not keep.exists()
    monkeypatch.setattr(mmcv_wheel, 'stream_lines', compile_rest)
    build()
    assert [path.name for path in keep.iterdir()] == [NAME]
    assert not work.exists()
    assert '5/5' in capsys.readouterr().out
    assert seen['MMCV_WITH_OPS'] == '1'
    assert seen['FORCE_CUDA'] == '0'
    assert '-g0' in seen['CFLAGS']
    assert not any(command[0] == 'download' for command in environment.commands)


@pytest.fixture
def real():
    return Environment(Path(sys.prefix), owned=False)


def test_missing_compiler_and_headers_are_named(real, tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.delenv('CXX', raising=False)
    problems = mmcv_wheel.missing_for_build(real, tmp_path, gpu=False)
    assert any('sudo apt-get install g++' in problem for problem in problems)

    ask = real.ask
    real.ask = lambda code: str(tmp_path) if 'sysconfig' in code else ask(code)
    problems = mmcv_wheel.missing_for_build(real, tmp_path, gpu=False)
    version = f'{sys.version_info.major}.{sys.version_info.minor}'
    assert any(f'python{version}-dev' in problem for problem in problems)


def test_full_disk_is_named(real, tmp_path, monkeypatch):
    usage = type('Usage', (), dict(free=10**8))()
    monkeypatch.setattr(mmcv_wheel.shutil, 'disk_usage', lambda path: usage)
    problems = mmcv_wheel.missing_for_build(real, tmp_path, gpu=False)
    assert any('XDG_CACHE_HOME' in problem for problem in problems)


def test_gpu_without_a_cuda_torch_or_compiler(monkeypatch, tmp_path):
    assert 'TORCH=' in mmcv_wheel._missing_for_cuda('cpu')[0]
    monkeypatch.setenv('CUDA_HOME', str(tmp_path))
    if not Path('/usr/local/cuda/bin/nvcc').exists():
        assert 'no nvcc' in mmcv_wheel._missing_for_cuda('12.4')[0]
    nvcc = tmp_path / 'bin' / 'nvcc'
    nvcc.parent.mkdir()
    nvcc.write_text('#!/bin/sh\necho "Cuda compilation tools, release 11.8, V11.8.89"\n')
    nvcc.chmod(0o755)
    assert 'CUDA 11.8' in mmcv_wheel._missing_for_cuda('12.4')[0]
    nvcc.write_text('#!/bin/sh\necho "Cuda compilation tools, release 12.6, V12.6.20"\n')
    assert mmcv_wheel._missing_for_cuda('12.4') == []


def test_parallel_jobs(monkeypatch):
    monkeypatch.delenv('MAX_JOBS', raising=False)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(8)))
    memory = {'SC_PAGE_SIZE': 1024, 'SC_AVPHYS_PAGES': 5 * 1024**2}  # 5 GiB
    monkeypatch.setattr(os, 'sysconf', memory.get)
    assert mmcv_wheel.parallel_jobs() == 2
    memory['SC_AVPHYS_PAGES'] = 1024
    assert mmcv_wheel.parallel_jobs() == 1
    monkeypatch.setenv('MAX_JOBS', '5')
    assert mmcv_wheel.parallel_jobs() == 5


def test_help_and_wrong_arguments():
    script = ROOT / 'tools' / 'setup' / 'setup_env.py'
    shown = subprocess.run([sys.executable, script, '--help'], capture_output=True, text=True)
    assert shown.returncode == 0
    assert 'FRAMEWORK' in shown.stdout
    assert subprocess.run([sys.executable, script, 'x'], capture_output=True).returncode == 2


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_however_it_is_ended_it_says_that_it_goes_on_from_here(monkeypatch, capsys, number):
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(setup_env, 'set_up', lambda: os.kill(os.getpid(), number))
    try:
        assert setup_env.main([]) == 130
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert 'goes on from here' in capsys.readouterr().err
