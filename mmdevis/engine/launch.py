"""Several processes also on machines without GPU."""

from __future__ import annotations

import datetime
import os
from typing import Any

import torch
from mmengine.config import Config


def prepare_launch(cfg: Config, launcher: str) -> None:
    """Makes a config and this process ready for a launcher.

    MMEngine's own start-up selects a CUDA device in every process, which fails without one. There,
    the processes are joined here, over gloo, and the model wrapper is told that it has no device.

    Args:
        cfg: Config of the run; gets `launcher`, and on a CPU `model_wrapper_cfg` and the settings
            of FSDP's `strategy` that are for GPUs.
        launcher: `none`, `pytorch` (torchrun), `slurm` or `mpi`.

    Raises:
        RuntimeError: For a launcher that cannot work here, with the one that can.
    """
    cfg.launcher = launcher
    if launcher == 'none' or torch.cuda.is_available():
        return
    if launcher != 'pytorch':
        raise RuntimeError(
            f'--launcher {launcher} needs a GPU, and torch sees none here. For several processes '
            'on CPUs use tools/dist_train.sh or tools/dist_test.sh (--launcher pytorch).'
        )
    missing = [name for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE') if name not in os.environ]
    if missing:
        raise RuntimeError(
            f'--launcher pytorch expects {", ".join(missing)} in the environment: start with '
            'tools/dist_train.sh CONFIG NUMBER_OF_PROCESSES, which calls torchrun.'
        )
    if not torch.distributed.is_initialized():
        settings: dict[str, Any] = dict(cfg.get('env_cfg', {}).get('dist_cfg', {}))
        timeout = settings.get('timeout')
        torch.distributed.init_process_group(
            'gloo', timeout=datetime.timedelta(seconds=timeout) if timeout else None
        )
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)
    if cfg.get('strategy', {}).get('type') == 'FSDPStrategy':
        _shard_on_cpu(cfg.strategy)


def _shard_on_cpu(strategy: dict[str, Any]) -> None:
    """Changes what FSDP would expect of a GPU."""
    strategy.setdefault('model_wrapper', dict(type='MMFullyShardedDataParallel'))
    strategy['model_wrapper'].setdefault('device_id', 'cpu')
    if strategy.get('state_dict_cfg') == 'full':
        # 'full' moves tensors to the CPU. Those that are there already would not be copied, and be
        # read after FSDP has freed them.
        options = dict(rank0_only=True, offload_to_cpu=False)
        strategy['state_dict_cfg'] = dict(
            state_dict_type='FULL_STATE_DICT',
            state_dict_config=dict(type='FullStateDictConfig', **options),
            optim_state_dict_config=dict(type='FullOptimStateDictConfig', **options),
        )
