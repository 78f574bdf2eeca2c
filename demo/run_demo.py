"""Make data, train a small DeVIS, evaluate it on unseen videos and show the result."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mmdet.structures import TrackDataSample
from mmengine.config import Config
from mmengine.runner import Runner

from mmdevis.apis.frame_source import open_frames
from mmdevis.apis.video_writer import VideoWriter
from mmdevis.checkpoints.initialisation import start_from_image
from mmdevis.datasets.synthvis import SynthVISConfig, generate_synthvis
from mmdevis.utils.allocator import keep_freed_memory
from mmdevis.utils.files import write_text
from mmdevis.visualization import TrackPainter, side_by_side

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/devis/devis_r18_1xb4-demo_synthvis.py'
IMAGE_CONFIG = ROOT / 'configs/devis/devis_r18_1xb8-demo-images_synthvis.py'
DATA = Config.fromfile(ROOT / 'configs/devis/_base_/datasets/calm_videos.py').calm_videos.to_dict()
CLASSES = DATA.pop('classes')
# Training videos are fuller than those that are scored: every object teaches something.
TRAINING_DATA = dict(num_objects=(2, 6), short_video_prob=0.0, empty_frame_prob=0.02)
# Evaluation, video and start-up come on top of training.
OTHER_MINUTES = 1.5


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--minutes', type=float, default=19.5, help='time for everything')
    parser.add_argument('--config', type=Path, default=CONFIG)
    parser.add_argument('--image-config', type=Path, default=IMAGE_CONFIG)
    parser.add_argument(
        '--image-share', type=float, default=0.45, help='share of training on single frames'
    )
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/demo')
    parser.add_argument('--data', type=Path, default=ROOT / 'data/synthvis_demo')
    parser.add_argument('--videos', type=int, default=400, help='training videos')
    parser.add_argument('--val-videos', type=int, default=24, help='unseen videos')
    parser.add_argument('--frames', type=int, default=16)
    parser.add_argument('--size', type=int, nargs=2, default=(96, 160), metavar=('H', 'W'))
    parser.add_argument('--difficulty', default='standard', choices=('easy', 'standard', 'hard'))
    parser.add_argument('--classes', nargs='+', default=list(CLASSES))
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--shown', type=int, default=8, help='videos in result.mp4')
    args = parser.parse_args(argv)
    if args.minutes <= OTHER_MINUTES:
        parser.error(f'--minutes must be more than {OTHER_MINUTES}, which evaluation needs')
    return args


def build_runner(args: argparse.Namespace, config: Path, minutes: float) -> Runner:
    """Runner of one of the demo's configs, trained by the clock."""
    cfg = Config.fromfile(config)
    cfg.work_dir = str(args.work_dir / config.stem)
    for split in ('train', 'val', 'test'):
        part = 'train' if split == 'train' else 'valid'
        cfg[f'{split}_dataloader'].dataset.data_root = f'{args.data}/{part}/'
    cfg.model.bbox_head.num_classes = len(args.classes)
    cfg.model.bbox_head.pixel_classifier.num_classes = len(args.classes)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=10**8, val_interval=10**9)
    cfg.param_scheduler = None
    cfg.default_hooks.checkpoint = None
    # The budget's own bar knows the time left; the loop does not.
    cfg.default_hooks.pop('progress')
    cfg.custom_hooks = [dict(type='TimeBudgetHook', minutes=minutes)]
    cfg.randomness = dict(seed=args.seed)
    cfg.log_processor = dict(by_epoch=False)
    cfg.log_level = 'WARNING'
    cfg.experiment_name = config.stem
    # Visualizers are shared by name within a process; each stage writes its own curve.
    cfg.visualizer.name = config.stem
    return Runner.from_cfg(cfg)


def start_from_images(video: Runner, images: Runner, classes: Sequence[str]) -> None:
    """Give the video model what the image model learned (the paper's initialisation)."""
    source = images.model.state_dict()
    video.model.init_weights()
    state, _ = start_from_image(video.model, source, classes, classes, repeat_queries=True)
    video.model.load_state_dict(state)
    # Or the runner would initialise the weights again.
    video.model.init_weights = lambda: None


def evaluate(runner: Runner) -> tuple[dict[str, float], list[TrackDataSample]]:
    """Score the unseen videos.

    Returns:
        - AP, AP50, AP75, AR1, AR10 in 0..1
        - the predictions of all videos
    """
    predictions: list[TrackDataSample] = []
    runner.model.eval()
    loader = runner.build_dataloader(runner.cfg.test_dataloader)
    evaluator = runner.build_evaluator(runner.cfg.test_evaluator)
    evaluator.dataset_meta = loader.dataset.metainfo
    start = time.monotonic()
    for index, batch in enumerate(loader):
        with torch.no_grad():
            outputs = runner.model.test_step(batch)
        evaluator.process(data_samples=outputs, data_batch=batch)
        predictions += outputs
        left = (time.monotonic() - start) / (index + 1) * (len(loader) - index - 1)
        print(f'\revaluating {index + 1}/{len(loader)} videos, {left:3.0f} s left', end='')
    print()
    metrics = evaluator.evaluate(len(loader.dataset))
    names = ('AP', 'AP50', 'AP75', 'AR1', 'AR10')
    return {name: float(metrics[f'youtube_vis/{name}']) for name in names}, predictions


def write_video(
    path: Path, predictions: Sequence[TrackDataSample], classes: Sequence[str], score: float
) -> None:
    """Draw predictions beside the ground truth.

    Args:
        path: The mp4 file.
        predictions: Videos with ``pred_track_instances``.
        classes: Class names.
        score: Tracks below are not drawn.
    """
    painter = TrackPainter(classes, score_thr=score, min_side=288)
    with VideoWriter(path, fps=6, force=True) as writer:
        for video in predictions:
            frames = [sample.img_path for sample in video.video_data_samples]
            ids = {}
            with open_frames(frames) as source:
                for frame, sample in zip(source, video.video_data_samples):
                    found = sample.pred_track_instances
                    truth = sample.instances
                    predicted = painter.paint(
                        frame, found.instances_id, found.labels, found.masks, found.scores
                    )
                    # Ground-truth ids are counted over the whole set; colours per video tell more.
                    true_ids = [ids.setdefault(t['instance_id'], len(ids)) for t in truth]
                    expected = painter.paint(
                        frame,
                        np.array(true_ids, dtype=int),
                        np.array([t['bbox_label'] for t in truth], dtype=int),
                        [t['mask'] for t in truth],
                    )
                    writer.write(side_by_side(predicted, expected))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    args = parse_args(argv)
    keep_freed_memory()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str, title: str) -> Iterator[None]:
        print(f'\n== {title}', flush=True)
        start = time.monotonic()
        yield
        seconds[name] = round(time.monotonic() - start, 1)

    with stage('data', f'SynthVIS: {args.videos} training and {args.val_videos} unseen videos'):
        for split, videos, settings in (
            ('train', args.videos, DATA | TRAINING_DATA),
            ('valid', args.val_videos, DATA),
        ):
            config = SynthVISConfig.preset(
                args.difficulty,
                frames=args.frames,
                size=tuple(args.size),
                classes=tuple(args.classes),
                **settings,
            )
            generate_synthvis(
                args.data / split, {split: videos}, config, seed=args.seed, force=True
            )
    minutes = args.minutes - OTHER_MINUTES
    image_minutes = minutes * args.image_share
    with stage('train_images', f'training on single frames for {image_minutes:.1f} minutes'):
        images = build_runner(args, args.image_config, image_minutes)
        images.train()
    with stage('train', f'training on clips for {minutes - image_minutes:.1f} minutes'):
        runner = build_runner(args, args.config, minutes - image_minutes)
        start_from_images(runner, images, args.classes)
        runner.train()
        iterations = dict(images=images.iter, clips=runner.iter)
        meta = dict(dataset_meta=dict(classes=args.classes))
        runner.save_checkpoint(str(args.work_dir), 'demo.pth', save_optimizer=False, meta=meta)
        curve = args.work_dir / args.config.stem / 'loss_curve.png'
        if curve.exists():  # a very short run logs no loss
            shutil.copy(curve, args.work_dir)
    with stage('evaluate', 'evaluation on unseen videos'):
        metrics, predictions = evaluate(runner)
    with stage('video', 'drawing'):
        shown = predictions[: args.shown]
        write_video(args.work_dir / 'result.mp4', shown, args.classes, score=0.3)
    results = dict(
        metrics,
        seconds=seconds,
        iterations=iterations,
        videos=len(predictions),
        parameters=sum(p.numel() for p in runner.model.parameters()),
        config=str(args.config),
        seed=args.seed,
    )
    write_text(args.work_dir / 'metrics.json', json.dumps(results, indent=2) + '\n')
    print(f'\nAP {metrics["AP"]:.3f}  AP50 {metrics["AP50"]:.3f}  on {len(predictions)} videos')
    for name in ('metrics.json', 'result.mp4', 'loss_curve.png', 'demo.pth'):
        print(f'  {args.work_dir / name}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
