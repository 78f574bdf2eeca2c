"""What has to be known about an exported clip model to run it; every exported file carries it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from mmdevis.models.vis.devis import DeVIS

__all__ = ['KEY', 'ClipDescription']

#: Name of the description among the metadata of a file.
KEY = 'mmdevis'


@dataclasses.dataclass(frozen=True)
class ClipDescription:
    """Sizes, normalisation and what follows the network.

    Attributes:
        num_frames: T.
        size: (H, W) of the frames.
        mean: Of the three channels, 0..255.
        std: The same.
        bgr_to_rgb: Whether the network takes RGB (the mean then is in this order, too).
        stride: Frames between the starts of clips.
        max_per_clip: Pairs of trajectory and class that the tracker gets of a clip.
        tracker: Config of the tracker.
        class_names: Name of each label, empty if unknown.
    """

    num_frames: int
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr_to_rgb: bool
    stride: int
    max_per_clip: int
    tracker: dict[str, Any]
    class_names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, model: DeVIS, size: tuple[int, int], class_names: Sequence[str] = ()
    ) -> ClipDescription:
        """Describe a model.

        Args:
            model: The model.
            size: (H, W) of the frames.
            class_names: Name of each label.
        """
        preprocessor = model.data_preprocessor
        mean, std = (getattr(preprocessor, name, None) for name in ('mean', 'std'))
        return cls(
            num_frames=model.num_frames,
            size=tuple(size),
            mean=(0.0,) * 3 if mean is None else tuple(mean.flatten().tolist()),
            std=(1.0,) * 3 if std is None else tuple(std.flatten().tolist()),
            bgr_to_rgb=bool(preprocessor._channel_conversion),
            stride=model.test_cfg['stride'],
            max_per_clip=model.test_cfg['max_per_clip'],
            tracker=dict(model.tracker_cfg),
            class_names=tuple(class_names),
        )

    def to_json(self) -> str:
        """As text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ClipDescription:
        """From :meth:`to_json`.

        Raises:
            ValueError: If it is something else.
        """
        try:
            values = json.loads(text)
            lists = {key: tuple(v) for key, v in values.items() if isinstance(v, list)}
            return cls(**{**values, **lists})
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f'this is no description of a clip model: {error}') from error

    @property
    def input_shape(self) -> tuple[int, int, int, int, int]:
        """Of the frames: (1, T, 3, H, W)."""
        return (1, self.num_frames, 3, *self.size)
