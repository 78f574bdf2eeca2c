"""What the video model says about one clip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class ClipPrediction:
    """Instances predicted in one clip of ``T`` frames, all tensors on one device.

    Several instances may be the same trajectory with different classes (the top-k runs over
    trajectory and class); they then share one row of ``masks`` through ``mask_index``.

    Args:
        frame_indices (Tensor): (T,) long, numbers of the frames in the video. They increase, unless
            a short video was extended back and forth; :meth:`head` cuts that extension off.
        scores (Tensor): (K, T) float in 0..1.
        labels (Tensor): (K,) long, 0-based classes.
        masks (Tensor): (U, T, H, W) float probabilities in 0..1 at the video's original size.
        centers (Tensor): (K, T, 2) float, normalised (x, y) centre of the box.
        mask_index (Tensor, optional): (K,) long, row of ``masks`` of each instance. None: the
            instance's own number, and then U must be K.
        num_ignored (int): Leading frames that do not count when this clip is matched with the
            tracks (only the last clip of a video, which is moved back to end at the last frame).

    Raises:
        ValueError: If shapes do not fit together or ``num_ignored`` is outside 0..T-1. The message
            names the field.
    """

    frame_indices: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor
    centers: Tensor
    mask_index: Tensor | None = None
    num_ignored: int = 0

    def __post_init__(self) -> None:
        self.frame_indices = torch.as_tensor(self.frame_indices, dtype=torch.long)
        if self.frame_indices.dim() != 1 or len(self.frame_indices) == 0:
            raise ValueError(
                'ClipPrediction.frame_indices must be a non-empty list of frame numbers, got '
                f'shape {tuple(self.frame_indices.shape)}'
            )
        num, length = len(self.labels), len(self.frame_indices)
        self._expect('labels', self.labels, (num,))
        self._expect('scores', self.scores, (num, length))
        self._expect('centers', self.centers, (num, length, 2))
        if self.masks.dim() != 4 or self.masks.shape[1] != length:
            raise ValueError(
                f'ClipPrediction.masks must have shape (U, {length}, H, W), got '
                f'{tuple(self.masks.shape)}'
            )
        if self.mask_index is None:
            if len(self.masks) != num:
                raise ValueError(
                    f'ClipPrediction.masks has {len(self.masks)} rows for {num} instances; '
                    'give mask_index when instances share masks'
                )
        else:
            self._expect('mask_index', self.mask_index, (num,))
            if num and not (0 <= self.mask_index.min() and self.mask_index.max() < len(self.masks)):
                raise ValueError(
                    f'ClipPrediction.mask_index must be in 0..{len(self.masks) - 1}, got '
                    f'{self.mask_index.tolist()}'
                )
        if not 0 <= self.num_ignored < length:
            raise ValueError(
                f'ClipPrediction.num_ignored must be in 0..{length - 1}, got {self.num_ignored}'
            )

    @staticmethod
    def _expect(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
        """Raise ``ValueError`` if ``value`` has another shape than ``shape``."""
        if tuple(value.shape) != shape:
            raise ValueError(
                f'ClipPrediction.{name} must have shape {shape}, got {tuple(value.shape)}'
            )

    @property
    def num_instances(self) -> int:
        """Number of instances K."""
        return len(self.labels)

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return len(self.frame_indices)

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the masks."""
        return (int(self.masks.shape[-2]), int(self.masks.shape[-1]))

    @property
    def mask_rows(self) -> Tensor:
        """(K,) long, row of ``masks`` of each instance, on the device of ``masks``."""
        if self.mask_index is None:
            return torch.arange(self.num_instances, device=self.masks.device)
        return self.mask_index.to(self.masks.device)

    def head(self, num_frames: int) -> ClipPrediction:
        """The same instances in the first ``num_frames`` frames only (views, nothing is copied)."""
        return ClipPrediction(
            frame_indices=self.frame_indices[:num_frames],
            scores=self.scores[:, :num_frames],
            labels=self.labels,
            masks=self.masks[:, :num_frames],
            centers=self.centers[:, :num_frames],
            mask_index=self.mask_index,
            num_ignored=min(self.num_ignored, num_frames - 1),
        )
