"""Pictures during validation and testing, through any back end."""

from __future__ import annotations

import uuid
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.registry import VISBACKENDS
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmengine.visualization import Visualizer
from mmengine.visualization.vis_backend import BaseVisBackend

from mmdevis.engine.hooks import VISVisualizationHook
from mmdevis.visualization import TrackPainter, draw_tile, renumber_tracks, true_objects


@VISBACKENDS.register_module()
class RememberingBackend(BaseVisBackend):
    """A back end of somebody else."""

    def __init__(self, save_dir=None):
        super().__init__(save_dir or '.')
        self.pictures = {}

    experiment = add_config = add_scalar = add_scalars = None

    def _init_env(self):
        pass

    def add_image(self, name, image, step=0, **kwargs):
        self.pictures[name, step] = image


@pytest.fixture
def videos(demo_config):
    """Two lazily read videos with their truth, every object found at once with score 0.9."""
    samples = []
    dataset = DATASETS.build(demo_config.test_dataloader.dataset)
    for item in (dataset[0], dataset[1]):
        for frame in item['data_samples']:
            truth = frame.metainfo['instances']
            frame.pred_track_instances = InstanceData(
                instances_id=torch.tensor([i['instance_id'] for i in truth]) + 20,
                labels=torch.tensor([i['bbox_label'] for i in truth]),
                scores=torch.full((len(truth),), 0.9),
                masks=[i['mask'] for i in truth],
            )
        samples.append(item['data_samples'])
    return samples


@pytest.fixture
def runner(tmp_path):
    visualizer = Visualizer.get_instance(
        uuid.uuid4().hex, vis_backends=[dict(type='RememberingBackend')], save_dir='.'
    )
    visualizer.dataset_meta = dict(classes=('disc', 'triangle', 'ring', 'cross'))
    log_dir = str(tmp_path / 'run')
    return SimpleNamespace(visualizer=visualizer, iter=30, log_dir=log_dir, work_dir=str(tmp_path))


def pictures_of(runner) -> dict:
    return runner.visualizer.get_backend('RememberingBackend').pictures


def test_sheet_of_each_video_beside_its_truth(runner, videos):
    hook = VISVisualizationHook(draw=True, num_frames=3, tile_width=160)
    hook.after_val_iter(runner, 0, outputs=videos)
    pictures = pictures_of(runner)
    ids = [video[0].metainfo['video_id'] for video in videos]
    assert list(pictures) == [(f'video_{i}', 30) for i in ids]
    painter = TrackPainter(('disc', 'triangle', 'ring', 'cross'), score_thr=0.3, draw_boxes=False)
    for picture, video in zip(pictures.values(), videos):
        assert picture.dtype == np.uint8
        frame = cv2.imread(video[0].img_path)
        truth = renumber_tracks([true_objects(video[0])])[0]
        assert truth.instances_id.tolist() == list(range(len(truth)))
        # The first tile of each half, without the bar above it and the number in its corner.
        middle = (picture.shape[1] + 12) // 2
        for left, objects in ((0, video[0].pred_track_instances), (middle, truth)):
            expected = draw_tile(frame, objects, painter, 160)[:70, :, ::-1]
            assert (picture[24 : 24 + 70, left : left + 160] == expected).all()


def test_every_frame_of_the_video(runner, videos):
    hook = VISVisualizationHook(draw=True, kind='frames', frame_interval=2)
    hook.after_val_iter(runner, 0, outputs=videos[:1])
    number = videos[0][0].metainfo['video_id']
    assert list(pictures_of(runner)) == [(f'video_{number}_iter_30', t) for t in (0, 2, 4)]


def test_only_the_first_videos_of_each_validation(runner, videos):
    hook = VISVisualizationHook(draw=True, max_videos=1, num_frames=1)
    for iteration in (30, 60):
        runner.iter = iteration
        hook.before_val_epoch(runner)
        for index, video in enumerate(videos):
            hook.after_val_iter(runner, index, outputs=[video])
    number = videos[0][0].metainfo['video_id']
    assert list(pictures_of(runner)) == [(f'video_{number}', 30), (f'video_{number}', 60)]


def test_nothing_is_drawn_or_read_unless_asked(runner, videos, monkeypatch):
    monkeypatch.setattr(cv2, 'resize', None)
    VISVisualizationHook().after_val_iter(runner, 0, outputs=videos)
    assert pictures_of(runner) == {}


def test_weak_tracks_and_missing_truth_are_not_drawn(runner, videos):
    for frame in videos[0]:
        frame.set_metainfo(dict(instances=None))
    hook = VISVisualizationHook(draw=True, num_frames=2, score_thr=0.95)
    hook.after_val_iter(runner, 0, outputs=videos[:1])
    for frame in videos[0]:
        frame.pred_track_instances = frame.pred_track_instances[:0]
    runner.iter += 1
    VISVisualizationHook(draw=True, num_frames=2).after_val_iter(runner, 0, outputs=videos[:1])
    weak, none = pictures_of(runner).values()
    assert (weak == none).all()


def test_testing_into_a_folder(runner, videos):
    hook = VISVisualizationHook(draw=True, test_out_dir='drawn', num_frames=2)
    hook.before_test_epoch(runner)
    for index, video in enumerate(videos):
        hook.after_test_iter(runner, index, outputs=[video])
    assert pictures_of(runner) == {}
    ids = [video[0].metainfo['video_id'] for video in videos]
    names = sorted(p.name for p in Path(runner.log_dir, 'drawn').iterdir())
    assert names == sorted(f'video_{i}_{n}.png' for n, i in enumerate(ids))


def test_shown_in_a_window(runner, videos, monkeypatch):
    shown = []
    monkeypatch.setattr(
        runner.visualizer, 'show', lambda picture, win_name, wait_time: shown.append(wait_time)
    )
    hook = VISVisualizationHook(draw=True, show=True, wait_time=0.5)
    hook.after_test_iter(runner, 0, outputs=videos[:1])
    assert shown == [0.5]


def test_missing_frames_and_results_are_named(runner, videos):
    hook = VISVisualizationHook(draw=True)
    frame = videos[0][0]
    video_id = frame.metainfo['video_id']
    frame.set_metainfo(dict(img_path='/nowhere/00000.jpg'))
    with pytest.raises(OSError, match=f'video {video_id}, frame 0, file /nowhere/00000.jpg'):
        hook.after_val_iter(runner, 0, outputs=videos[:1])
    del videos[1][0].pred_track_instances
    with pytest.raises(ValueError, match='no pred_track_instances'):
        hook.after_val_iter(runner, 0, outputs=videos[1:])
    with pytest.raises(ValueError, match="'sheet' or 'frames'"):
        VISVisualizationHook(kind='film')


def test_validation_during_training_draws(demo_config, tmp_path):
    cfg = demo_config
    assert cfg.default_hooks.visualization.type == 'VISVisualizationHook'
    cfg.default_hooks.visualization.update(draw=True, num_frames=2)
    cfg.default_hooks.pop('progress')
    cfg.train_dataloader.update(batch_size=1, num_workers=0, persistent_workers=False)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_interval=1)
    cfg.param_scheduler = None
    cfg.log_processor = dict(by_epoch=False)
    cfg.log_level = 'WARNING'
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = cfg.visualizer.name = uuid.uuid4().hex
    Runner.from_cfg(cfg).train()
    names = sorted(p.name for p in tmp_path.glob('*/vis_data/vis_image/*'))
    assert names == ['video_1_1.png', 'video_2_1.png']
