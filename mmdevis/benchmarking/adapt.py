"""Puts the data, the backbone and the budget of a table into any MMDetection VIS config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hub import get_config

from .plan import RunSpec

#: Name of a run's weights in its folder.
WEIGHTS = 'weights.pth'


def load_any_config(name: str) -> Config:
    """Reads a config file, or one of MMDetection's by `mmdet::folder/name.py`."""
    return get_config(name) if '::' in name else Config.fromfile(name)


def _resize_to(pipeline: list[dict], size: tuple[int, int]) -> None:
    """Gives every resizing step of a pipeline, however deep, the one scale (width, height)."""
    for step in pipeline:
        if step['type'] in ('RandomResize', 'RandomChoiceResize'):
            step.clear()
            step.update(type='Resize', keep_ratio=True)
        if step['type'] == 'Resize':
            step['scale'] = size
        inner = step.get('transforms') or step.get('frame_pipeline') or []
        choices = inner if inner and isinstance(inner[0], list) else [inner]  # RandomChoice
        for steps in choices:
            _resize_to(steps, size)


def data_set(root: Path, split: str, pipeline: list[dict], **settings: Any) -> dict:
    """Config of one split in SynthVIS's layout."""
    return dict(
        type='VISClipDataset',
        data_root=f'{root}/',
        ann_file=f'annotations/{split}_ytvis.json',
        data_prefix=dict(img_path=f'{split}/JPEGImages'),
        pipeline=pipeline,
        **settings,
    )


def adapt_config(spec: RunSpec, data: Path, size: tuple[int, int], work_dir: Path) -> Config:
    """Config of a run: the model and pipelines of its file, the protocol's everything else.

    Args:
        spec: The run.
        data: Folder with the splits `train`, `valid` and `test`.
        size: Height and width of the frames.
        work_dir: Folder of the run.

    Returns:
        Config for `Runner.from_cfg`.
    """
    cfg = load_any_config(spec.config)
    if spec.backbone is not None:
        cfg.merge_from_dict({spec.backbone_at: {**spec.backbone, '_delete_': True}})
    cfg.merge_from_dict(spec.options)
    pipelines = {
        split: [step.to_dict() for step in cfg[f'{split}_dataloader'].dataset.pipeline]
        for split in (('train',) if spec.is_stage else ('train', 'test'))
    }
    for pipeline in pipelines.values():
        _resize_to(pipeline, (size[1], size[0]))
    clip = cfg.train_dataloader.dataset.get('num_frames', 1)
    workers = dict(num_workers=0, persistent_workers=False)
    cfg.train_dataloader = dict(
        batch_size=spec.batch_size,
        **workers,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        dataset=data_set(
            data, 'train', pipelines['train'], num_frames=clip, filter_empty_clips=True
        ),
    )
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    if not spec.is_stage:
        cfg.test_dataloader = dict(
            batch_size=1,
            **workers,
            sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
            dataset=data_set(data, 'test', pipelines['test'], test_mode=True),
        )
        cfg.test_evaluator = dict(type='VISMetric', format_only=True)
        cfg.test_cfg = dict(type='TestLoop')

    iterations = spec.iterations
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=10**9)
    cfg.optim_wrapper.optimizer.lr *= spec.lr_factor
    warmup = max(1, min(100, iterations // 10))
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=warmup),
        dict(
            type='CosineAnnealingLR', by_epoch=False, begin=warmup, end=max(iterations, warmup + 1)
        ),
    ]
    cfg.default_hooks = dict(
        timer=dict(type='IterTimerHook'),
        logger=dict(type='LoggerHook', interval=20),
        param_scheduler=dict(type='ParamSchedulerHook'),
        checkpoint=dict(
            type='CheckpointHook',
            by_epoch=False,
            interval=max(1, iterations // 10),
            max_keep_ckpts=1,
            backend_args=dict(backend='atomic_local'),
        ),
        progress=dict(type='ProgressBarHook'),
        loss_curve=dict(type='LossCurveHook'),
    )
    cfg.custom_hooks = []
    if spec.starts_from is not None:
        weights = work_dir.parent / spec.starts_from / WEIGHTS
        hook = dict(type='StartFromImageHook', checkpoint=str(weights), repeat_queries=True)
        cfg.custom_hooks = [hook]
    cfg.custom_imports = dict(imports=['mmdevis'], allow_failed_imports=False)
    cfg.log_processor = dict(type='LogProcessor', window_size=20, by_epoch=False)
    cfg.visualizer = dict(
        type='TrackLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name=spec.name
    )
    cfg.experiment_name = spec.name
    cfg.randomness = dict(seed=spec.seed)
    cfg.default_scope = 'mmdet'
    cfg.launcher = 'none'
    cfg.load_from, cfg.auto_scale_lr = None, None
    cfg.resume = (work_dir / 'last_checkpoint').exists()
    cfg.log_level = 'WARNING'
    cfg.work_dir = str(work_dir)
    return cfg
