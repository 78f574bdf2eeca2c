"""Pictures of predicted videos during validation and testing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mmdet.engine.hooks import TrackVisualizationHook
from mmdet.registry import HOOKS
from mmdet.structures import TrackDataSample
from mmengine.dist import master_only
from mmengine.visualization import Visualizer

from mmdevis.datasets.transforms import LoadFrame
from mmdevis.visualization import (
    TrackPainter,
    choose_frames,
    contact_sheet,
    draw_tile,
    predicted_objects,
    renumber_tracks,
    true_objects,
    write_picture,
)


@HOOKS.register_module()
class VISVisualizationHook(TrackVisualizationHook):
    """Draws predicted videos beside their ground truth, through MMEngine's visualizer.

    Takes the place of MMDetection's `TrackVisualizationHook` and its arguments. It draws whole
    videos with masks as RLE, whether they were read lazily or not, reads only the frames that it
    draws, and takes batches of any size. Every video is a picture of its own (`video_<id>`), so a
    back end such as TensorBoard shows how it changes from validation to validation.

    - ``kind='sheet'``: one contact sheet per video; its step is the training iteration (in testing
      the number of the video).
    - ``kind='frames'``: every ``frame_interval``-th frame; the step is the frame, and the name in
      validation has the iteration.

    Args:
        draw: Whether to draw at all.
        frame_interval: For ``kind='frames'``.
        score_thr: Tracks below are not drawn, 0..1.
        show: Show pictures in a window instead of storing them.
        wait_time: Seconds each is shown; 0 waits for a key.
        test_out_dir: In testing, write pictures into this folder of the run's log folder instead of
            the back ends.
        backend_args: How to read the pictures, as for `LoadFrame`.
        kind: 'sheet' or 'frames'.
        num_frames: Frames on a sheet, evenly spaced; None for all.
        columns: Of each half of a sheet; None makes it about square.
        tile_width: Pixels of each frame's picture.
        max_videos: Draw only the first videos of each validation or test; None draws all.

    Raises:
        ValueError: If `kind` is another.
    """

    def __init__(
        self,
        draw: bool = False,
        frame_interval: int = 1,
        score_thr: float = 0.3,
        show: bool = False,
        wait_time: float = 0.0,
        test_out_dir: str | None = None,
        backend_args: dict | None = None,
        kind: Literal['sheet', 'frames'] = 'sheet',
        num_frames: int | None = 8,
        columns: int | None = None,
        tile_width: int = 240,
        max_videos: int | None = 8,
    ) -> None:
        if kind not in ('sheet', 'frames'):
            raise ValueError(f"kind must be 'sheet' or 'frames', got {kind!r}")
        super().__init__(
            draw, frame_interval, score_thr, show, wait_time, test_out_dir, backend_args
        )
        self.kind = kind
        self.num_frames = num_frames
        self.columns = columns
        self.tile_width = tile_width
        self.max_videos = max_videos
        self._drawn = 0
        self._load = LoadFrame(backend_args=backend_args)

    def before_val_epoch(self, runner: Any) -> None:
        """Count videos from the start."""
        self._drawn = 0

    def before_test_epoch(self, runner: Any) -> None:
        """Count videos from the start."""
        self._drawn = 0

    def after_val_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[TrackDataSample] | None = None,
    ) -> None:
        """Draw the videos of this batch.

        Args:
            runner: The runner.
            batch_idx: Of the batch.
            data_batch: Not used.
            outputs: Predictions.
        """
        self._draw_videos(runner, outputs or [], runner.iter, None)

    def after_test_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[TrackDataSample] | None = None,
    ) -> None:
        """Draw the videos of this batch, see `after_val_iter`."""
        folder = None if self.test_out_dir is None else Path(runner.log_dir, self.test_out_dir)
        self._draw_videos(runner, outputs or [], None, folder)

    @master_only
    def _draw_videos(
        self,
        runner: Any,
        outputs: Sequence[TrackDataSample],
        iteration: int | None,
        folder: Path | None,
    ) -> None:
        if not self.draw:
            return
        classes = (runner.visualizer.dataset_meta or {}).get('classes') or ()
        painter = TrackPainter(classes, score_thr=self.score_thr, draw_boxes=False)
        for video in outputs:
            if self.max_videos is not None and self._drawn >= self.max_videos:
                return
            number, self._drawn = self._drawn, self._drawn + 1
            name = f'video_{video[0].metainfo.get("video_id", number)}'
            if self.kind == 'sheet':
                step = number if iteration is None else iteration
                sheet = self._sheet(video, painter, choose_frames(len(video), self.num_frames))
                self._deliver(runner.visualizer, sheet, name, step, folder)
                continue
            name = name if iteration is None else f'{name}_iter_{iteration}'
            for index in range(0, len(video), self.frame_interval):
                sheet = self._sheet(video, painter, [index])
                self._deliver(runner.visualizer, sheet, name, index, folder)

    def _sheet(
        self, video: TrackDataSample, painter: TrackPainter, chosen: Sequence[int]
    ) -> np.ndarray:
        """Contact sheet of some frames, uint8 (H, W, 3) BGR."""
        frames = [
            self._load(
                dict(
                    img_path=sample.img_path,
                    video_id=sample.metainfo.get('video_id'),
                    frame_id=sample.metainfo.get('frame_id'),
                )
            )['img']
            for sample in (video[i] for i in chosen)
        ]
        groups = {'prediction': [predicted_objects(video[i]) for i in chosen]}
        truth = [true_objects(sample) for sample in video]
        if all(objects is not None for objects in truth):
            truth = renumber_tracks(truth)
            groups['ground truth'] = [truth[i] for i in chosen]
        tiles = {
            title: [
                draw_tile(frame, objects, painter, self.tile_width)
                for frame, objects in zip(frames, group)
            ]
            for title, group in groups.items()
        }
        return contact_sheet(tiles, [str(i) for i in chosen], self.columns)

    def _deliver(
        self,
        visualizer: Visualizer,
        picture: np.ndarray,
        name: str,
        step: int,
        folder: Path | None,
    ) -> None:
        if self.show:
            visualizer.show(picture[..., ::-1], win_name=name, wait_time=self.wait_time)
        elif folder is not None:
            write_picture(picture, folder / f'{name}_{step}.png')
        else:
            visualizer.add_image(name, np.ascontiguousarray(picture[..., ::-1]), step)
