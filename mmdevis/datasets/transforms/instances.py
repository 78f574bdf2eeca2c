"""Keeping the ground truth of a frame consistent after augmentation."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import BaseBoxes


@TRANSFORMS.register_module()
class RecomputeBoxesFromMasks(BaseTransform):
    """Compute boxes from the augmented masks and drop objects of which (almost) nothing is left.

    For one frame; use it inside `TransformBroadcaster`. Cropping and occlusion at the border make
    the transformed boxes too large, and the losses need boxes that fit the masks.

    Required keys: `gt_masks` (`BitmapMasks`, N masks). Changed keys: `gt_masks`, `gt_bboxes`
    (N', 4) as x1, y1, x2, y2 in pixels with exclusive ends, and (N',) `gt_bboxes_labels`,
    `gt_instances_ids`, `gt_ignore_flags`.

    Args:
        min_pixels (int): Smallest mask that is kept. Default: 3, as in the official release, which
            takes objects of <= 2 pixels for absent.
    """

    def __init__(self, min_pixels: int = 3) -> None:
        self.min_pixels = min_pixels

    def transform(self, results: dict) -> dict:
        """Return `results` with consistent ground truth."""
        masks = results['gt_masks']
        pixels = masks.masks.sum(axis=(1, 2), dtype=np.int64)
        keep = np.flatnonzero(pixels >= self.min_pixels)
        masks = masks[keep]
        results['gt_masks'] = masks
        boxes = masks.get_bboxes('hbox')
        is_array = not isinstance(results.get('gt_bboxes'), BaseBoxes)
        results['gt_bboxes'] = boxes.numpy() if is_array else boxes
        for key in ('gt_bboxes_labels', 'gt_instances_ids', 'gt_ignore_flags'):
            if key in results:
                results[key] = results[key][keep]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(min_pixels={self.min_pixels})'
