"""One run of a benchmark: train, or go on with training, then evaluate."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import HOOKS, MODELS
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner, load_checkpoint

from mmdevis.evaluation import VISMetric
from mmdevis.evaluation.functional import break_down_errors, evaluate_ytvis
from mmdevis.utils.files import read_json, write_text
from mmdevis.utils.losses import NonFiniteLossError
from mmdevis.utils.memory_format import lay_out_for_inference

from .adapt import WEIGHTS, adapt_config, data_set
from .plan import RunSpec
from .provenance import describe, fingerprint

RESULT = 'result.json'
_STATE = 'state.json'


_ORIGIN = 'origin.json'
_CLOCKS = {'train_seconds': time.monotonic, 'train_cpu_seconds': time.process_time}


class FolderMismatchError(ValueError):
    """A run's folder holds a run with other settings."""


@HOOKS.register_module()
class TrainingTimeHook(Hook):
    """Notes how long training took, by the clock and of the processor.

    Both go into the checkpoints with the message hub, so that a run that was killed counts what
    led to the checkpoint from which it goes on.
    """

    priority = 'NORMAL'  # before the checkpoint

    def before_train(self, runner: Runner) -> None:
        """Starts the clocks where they stood; the runner has resumed by now."""
        info = runner.message_hub.runtime_info
        self._starts = {name: clock() - info.get(name, 0.0) for name, clock in _CLOCKS.items()}

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Notes the times."""
        for name, clock in _CLOCKS.items():
            runner.message_hub.update_info(name, clock() - self._starts[name])


@HOOKS.register_module()
class StopAtDeadlineHook(Hook):
    """Writes a checkpoint and ends training when the time is over; `resume` goes on from there.

    Args:
        seconds: Time from the start of training.
    """

    priority = 'LOWEST'

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def before_train(self, runner: Runner) -> None:
        """Starts the clock."""
        self._end = time.monotonic() + self.seconds

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Stops when the time is over."""
        if time.monotonic() < self._end or runner.iter + 1 >= runner.max_iters:
            return
        name = f'iter_{runner.iter + 1}.pth'
        runner.save_checkpoint(runner.work_dir, name, by_epoch=False)
        if get_rank() == 0:
            write_text(Path(runner.work_dir) / 'last_checkpoint', f'{runner.work_dir}/{name}')
        runner.train_loop.stop_training = True


def _load(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {}


def _write(path: Path, content: dict) -> None:
    write_text(path, json.dumps(content, indent=2) + '\n')


def give_common_backbone(model: torch.nn.Module, spec: RunSpec) -> None:
    """Gives the backbone the weights that every model of the table with this seed starts from."""
    if spec.backbone is None or spec.backbone.get('init_cfg'):
        return
    torch.manual_seed(spec.seed)
    common = MODELS.build(spec.backbone)
    common.init_weights()
    for part in spec.backbone_at.split('.')[1:]:
        model = getattr(model, part)
    model.load_state_dict(common.state_dict())


def train(runner: Runner, spec: RunSpec, folder: Path, seconds: float) -> bool:
    """Trains until the end or until the time is over.

    Args:
        runner: Runner of the run; resumes by itself.
        spec: The run.
        folder: Its folder.
        seconds: Time for training.

    Returns:
        Whether training is complete.
    """
    state = _load(folder / _STATE)
    runner.register_hook(TrainingTimeHook())
    runner.register_hook(StopAtDeadlineHook(seconds))
    if not state:
        runner.model.init_weights()
        give_common_backbone(runner.model, spec)
        runner.model.init_weights = lambda: None
    runner.train()
    state.update({name: runner.message_hub.get_info(name) for name in _CLOCKS})
    state['iterations'] = runner.iter
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 2**20
    state['peak_memory_mib'] = max(peak, state.get('peak_memory_mib', 0.0))
    _write(folder / _STATE, state)
    done = runner.iter >= spec.iterations
    if done:  # last, and whole or not at all: a stage is complete when its weights are there
        backend = dict(backend='atomic_local')
        runner.save_checkpoint(str(folder), WEIGHTS, save_optimizer=False, backend_args=backend)
    return done


def predict(runner: Runner, data: Path, split: str, prefix: Path) -> tuple[float, float]:
    """Writes the predicted tracks of a split to `<prefix>.json`.

    Returns:
        Frames per second, and per second of processor time, of the model's `test_step`. DeVIS
        reads and resizes frames, tracks and compresses masks in it; for MMDetection's models
        frames are read before and masks compressed after it. The second figure says the same
        when other things run beside it.
    """
    cfg = runner.cfg.test_dataloader.to_dict()
    pipeline = cfg['dataset']['pipeline']
    cfg['dataset'] = data_set(data, split, pipeline, test_mode=True)
    loader = runner.build_dataloader(cfg)
    metric = VISMetric(format_only=True, outfile_prefix=str(prefix))
    metric.dataset_meta = loader.dataset.metainfo
    runner.model.eval()
    seconds, cpu_seconds, frames = 0.0, 0.0, 0
    for batch in loader:
        start, cpu_start = time.perf_counter(), time.process_time()
        with torch.no_grad():
            outputs = runner.model.test_step(batch)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds += time.perf_counter() - start
        cpu_seconds += time.process_time() - cpu_start
        frames += sum(len(sample.video_data_samples) for sample in outputs)
        metric.process(batch, [sample.to_dict() for sample in outputs])
    metric.evaluate(len(loader.dataset))
    return frames / seconds, frames / cpu_seconds


def _add_stage(result: dict, state: dict) -> None:
    """Adds what the first stage took to what the second one took."""
    for name in (*_CLOCKS, 'iterations'):
        result[name] += state[name]
    result['peak_memory_mib'] = max(result['peak_memory_mib'], state['peak_memory_mib'])


def _refuse_others(folder: Path, known: dict | None, wanted: dict) -> None:
    """Raises FolderMismatchError when what a folder holds is known and is not what is wanted."""
    changed = sorted(k for k in wanted if known and known.get(k) != wanted[k])
    if changed:
        raise FolderMismatchError(
            f'{folder} holds a run with other settings ({", ".join(changed)}): remove it to run '
            'again, or choose another --work-dir'
        )


def execute(
    spec: RunSpec,
    data: Path,
    size: tuple[int, int],
    folder: Path,
    seconds: float = float('inf'),
    subsets: Sequence[str] = (),
) -> bool:
    """Does what is left of a run.

    A training whose loss is not finite any more is a result, too: AP 0 on `valid`.

    Args:
        spec: The run.
        data: Folder with the main set in `main` and each subset beside it.
        size: Height and width of the frames.
        folder: Folder of the run.
        seconds: Time for training.
        subsets: Names of further test sets.

    Returns:
        Whether the run is complete; its weights and, unless others start from it, its
        `result.json` then exist.

    Raises:
        FolderMismatchError: The folder holds another run.
        FileNotFoundError: The run that this one starts from is not complete.
        NonFiniteLossError: The training of a stage diverged.
    """
    wanted = json.loads(json.dumps(spec.as_dict()))
    _refuse_others(folder, _load(folder / 'spec.json'), wanted)
    cfg = adapt_config(spec, data / 'main', size, folder)
    origin = _load(folder / _ORIGIN)
    made_of = fingerprint(cfg, data / 'main', folder)
    _refuse_others(folder, origin.get('made_of'), made_of)
    if spec.is_stage and (folder / WEIGHTS).exists():
        return True
    finished = _load(folder / RESULT)
    if finished and ('diverged' in finished or set(subsets) <= finished['sets'].keys()):
        return True
    stage = None if spec.starts_from is None else folder.parent / spec.starts_from
    if stage is not None and not (stage / WEIGHTS).exists():
        raise FileNotFoundError(f'{folder.name} starts from {stage / WEIGHTS}, which is missing')
    _write(folder / 'spec.json', wanted)
    here = describe()
    unknown = {'commit': 'a commit that was not recorded'}  # trained by an earlier version
    started = origin.get('started') or (unknown if (folder / WEIGHTS).exists() else here)
    origin = {'made_of': made_of, 'started': started}
    _write(folder / _ORIGIN, origin)
    cfg.dump(str(folder / 'config.py'))
    runner = Runner.from_cfg(cfg)
    source = folder
    if spec.weights_of is not None:
        source = folder.parent / spec.weights_of
    elif not (folder / WEIGHTS).exists():
        try:
            if not train(runner, spec, folder, seconds):
                return False
        except NonFiniteLossError as error:
            if spec.is_stage:
                raise
            diverged = {'diverged': str(error), 'sets': {'valid': {'AP': 0.0}}}
            _write(folder / RESULT, {'spec': wanted, 'origin': origin, **diverged})
            return True
    if spec.is_stage:
        return True
    load_checkpoint(runner.model, str(source / WEIGHTS), map_location='cpu', strict=True)
    lay_out_for_inference(runner.model)
    result: dict[str, Any] = {
        'spec': wanted,
        'origin': {**origin, 'evaluated': here},
        'parameters': sum(p.numel() for p in runner.model.parameters()),
        **_load(source / _STATE),
        'sets': {},
    }
    if stage is not None:
        _add_stage(result, _load(stage / _STATE))
    sets = [('test', data / 'main', 'test'), *((s, data / s, 'test') for s in subsets)]
    if spec.weights_of is None:  # it chooses the learning rate, which others take over
        sets.insert(0, ('valid', data / 'main', 'valid'))
    for name, root, split in sets:
        prefix = folder / f'tracks_{name}'
        fps, fps_cpu = predict(runner, root, split, prefix)
        gt = read_json(root / f'annotations/{split}_ytvis.json')
        tracks = read_json(prefix.with_suffix('.json'))
        scores: dict[str, Any] = evaluate_ytvis(gt, tracks)
        if name == 'test':
            result['fps'], result['fps_cpu'] = fps, fps_cpu
            result['errors'] = break_down_errors(gt, tracks)
            scores.update(result['errors']['tracking'] or {})
        result['sets'][name] = scores
    _write(folder / RESULT, result)
    return True
