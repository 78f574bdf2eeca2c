"""MMEngine's visualizer for tracks."""

from __future__ import annotations

import numpy as np
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmdet.visualization import TrackLocalVisualizer
from mmengine.structures import InstanceData

from .frame_objects import true_objects
from .track_painter import TrackPainter


@VISUALIZERS.register_module()
class VISLocalVisualizer(TrackLocalVisualizer):
    """MMDetection's `TrackLocalVisualizer` for masks as RLE, with a colour per track.

    Works with MMDetection's `TrackVisualizationHook`. The ground truth comes from the annotations
    that the data set keeps for evaluation when the test pipeline loads none.

    Args:
        name: As in `TrackLocalVisualizer`, like the next three.
        image: Picture (H, W, 3), RGB.
        vis_backends: Where pictures go.
        save_dir: Folder of the backends.
        alpha: Opacity of masks in 0..1.
        min_side: Pictures with a smaller shorter side are enlarged by a whole factor.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        image: np.ndarray | None = None,
        vis_backends: list[dict] | None = None,
        save_dir: str | None = None,
        alpha: float = 0.45,
        min_side: int = 0,
    ) -> None:
        super().__init__(name, image, vis_backends, save_dir, alpha=alpha)
        self.min_side = min_side

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: DetDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        **kwargs,
    ) -> None:
        """Draws a frame and stores or shows it.

        Args:
            name: Name of the picture.
            image: uint8 (H, W, 3), RGB.
            data_sample: Frame with `pred_track_instances`, `gt_instances`, or `instances` in its
                metainfo.
            draw_gt: Whether to draw the ground truth, where there is any.
            draw_pred: Whether to draw the prediction.
            **kwargs: As in `TrackLocalVisualizer.add_datasample`.
        """
        if draw_gt and data_sample is not None:
            truth = true_objects(data_sample)
            draw_gt = truth is not None and len(truth) > 0
            if draw_gt:
                data_sample = data_sample.clone()
                data_sample.gt_instances = truth
        super().add_datasample(name, image, data_sample, draw_gt, draw_pred, **kwargs)

    def _draw_instances(self, image: np.ndarray, instances: InstanceData) -> np.ndarray:
        """Draws the instances of one frame.

        Args:
            image: uint8 (H, W, 3), RGB.
            instances: `instances_id`, `labels` (N,), `masks` (N RLE dicts, bool tensor (N, H, W) or
                `BitmapMasks`) and maybe `scores` (N,).

        Returns:
            uint8 RGB picture.
        """
        painter = TrackPainter(
            self.dataset_meta.get('classes') or (), alpha=self.alpha, min_side=self.min_side
        )
        drawn = painter.paint(
            np.ascontiguousarray(image[..., ::-1]),
            instances.instances_id,
            instances.labels,
            getattr(instances.masks, 'masks', instances.masks),
            instances.get('scores'),
        )
        return np.ascontiguousarray(drawn[..., ::-1])
