"""Turning an image into a clip by moving it around."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BitmapMasks


@TRANSFORMS.register_module()
class ImageToClip(BaseTransform):
    """Make T frames of an image: itself and T - 1 distorted copies, in random order.

    Each copy is rotated, moved, put into perspective, and changed in brightness, hue and
    saturation; some are blurred. Defaults as in the official release (REFERENCE: COCO joint
    training). Objects of which less than one pixel remains are absent in that frame; boxes are not
    moved, so `RecomputeBoxesFromMasks` must follow.

    Required keys: `img` (h, w, 3) uint8 BGR, `gt_masks` (`BitmapMasks`, N), `gt_bboxes`,
    `gt_bboxes_labels`, `gt_instances_ids`, `gt_ignore_flags`, and `num_frames` if not given here.
    Result: every key as a list of length T, with `frame_id`, `video_length`, `ori_video_length`.

    Args:
        num_frames (int, optional): T. Default: what the data set says.
        rotation (float): Largest angle in degrees, either way.
        translation (float): Largest shift, as part of the image's width and height.
        perspective (float): Standard deviation of the corners' inward shift, as part of the size.
        brightness (float): Largest change of the pixel values (0..255).
        hue_saturation (float): Largest change of hue and saturation, on a scale of 0..255.
        blur_prob (float): Probability of motion blur.
        blur_sizes (Sequence[int]): Lengths of the motion in pixels, odd.
    """

    def __init__(
        self,
        num_frames: int | None = None,
        rotation: float = 20.0,
        translation: float = 0.1,
        perspective: float = 0.08,
        brightness: float = 40.0,
        hue_saturation: float = 5.0,
        blur_prob: float = 0.25,
        blur_sizes: Sequence[int] = (7, 9),
    ) -> None:
        if any(size % 2 == 0 for size in blur_sizes):
            raise ValueError(f'blur_sizes must be odd, but are {tuple(blur_sizes)}')
        self.num_frames = num_frames
        self.rotation = rotation
        self.translation = translation
        self.perspective = perspective
        self.brightness = brightness
        self.hue_saturation = hue_saturation
        self.blur_prob = blur_prob
        self.blur_sizes = tuple(blur_sizes)

    def transform(self, results: dict) -> dict:
        """Return a dict of lists over the frames of the clip."""
        num_frames = self.num_frames or results['num_frames']
        frames = [dict(results)] + [self._distort(results) for _ in range(num_frames - 1)]
        frames = [frames[i] for i in np.random.permutation(num_frames)]
        for index, frame in enumerate(frames):
            frame.update(frame_id=index, video_length=num_frames, ori_video_length=num_frames)
        return {key: [frame[key] for frame in frames] for key in frames[0]}

    def random_matrix(self, height: int, width: int) -> np.ndarray:
        """Draw the motion of a frame.

        Args:
            height (int): Height of the image in pixels.
            width (int): Width of the image in pixels.

        Returns:
            np.ndarray: Homography (3, 3) from old to new pixel coordinates.
        """
        angle = np.random.uniform(-self.rotation, self.rotation)
        centre = ((width - 1) / 2, (height - 1) / 2)
        affine = np.eye(3)
        affine[:2] = cv2.getRotationMatrix2D(centre, angle, 1.0)
        affine[:2, 2] += np.random.uniform(-1, 1, 2) * self.translation * np.array([width, height])
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
        # Inward by less than half, so that the corners keep their order.
        shift = np.clip(np.abs(np.random.normal(0, self.perspective, (4, 2))), 0, 0.4)
        moved = corners + np.where(corners > 0, -1, 1) * shift
        scale = np.array([width - 1, height - 1], np.float32)
        view = cv2.getPerspectiveTransform(
            (moved * scale).astype(np.float32), (corners * scale).astype(np.float32)
        )
        return view @ affine

    def _distort(self, results: dict) -> dict:
        image, masks = results['img'], results['gt_masks']
        height, width = image.shape[:2]
        matrix = self.random_matrix(height, width)
        frame = dict(results)
        frame['img'] = self._recolour(cv2.warpPerspective(image, matrix, (width, height)))
        warped = [
            cv2.warpPerspective(mask, matrix, (width, height), flags=cv2.INTER_NEAREST)
            for mask in masks.masks
        ]
        visible = np.array([mask.any() for mask in warped], bool)
        kept = [mask for mask, seen in zip(warped, visible) if seen]
        stacked = np.stack(kept) if kept else np.zeros((0, height, width), np.uint8)
        frame['gt_masks'] = BitmapMasks(stacked, height, width)
        for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_instances_ids', 'gt_ignore_flags'):
            if key in frame:
                frame[key] = frame[key][visible]
        return frame

    def _recolour(self, image: np.ndarray) -> np.ndarray:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV).astype(np.float32)
        hue, saturation = np.random.uniform(-self.hue_saturation, self.hue_saturation, 2)
        # OpenCV keeps the hue of 8-bit images in half degrees, 0..179.
        hsv[..., 0] = (hsv[..., 0] + hue * 180 / 255) % 180
        hsv[..., 1] += saturation
        hsv = hsv.clip(0, 255).astype(np.uint8)
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR).astype(np.float32)
        image += np.random.uniform(-self.brightness, self.brightness)
        if np.random.rand() < self.blur_prob:
            image = cv2.filter2D(image, -1, self._blur_kernel())
        return image.clip(0, 255).astype(np.uint8)

    def _blur_kernel(self) -> np.ndarray:
        """A line through the centre, in a random direction; sums to 1."""
        size = int(np.random.choice(self.blur_sizes))
        angle = np.random.uniform(0, np.pi)
        kernel = np.zeros((size, size), np.float32)
        reach = (size - 1) / 2 * np.array([np.cos(angle), np.sin(angle)])
        ends = np.rint((size - 1) / 2 + np.stack([-reach, reach])).astype(int).tolist()
        cv2.line(kernel, ends[0], ends[1], 1.0)
        return kernel / kernel.sum()

    def __repr__(self) -> str:
        arguments = ', '.join(f'{key}={value}' for key, value in vars(self).items())
        return f'{type(self).__name__}({arguments})'
