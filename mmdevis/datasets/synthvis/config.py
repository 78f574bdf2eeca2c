"""Settings of SynthVIS: one dataclass holds every knob, presets name three difficulties."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from .shapes import SYNTHVIS_CLASSES

DIFFICULTIES: tuple[str, ...] = ('easy', 'standard', 'hard')

_FRACTIONS = (
    'look_alike_prob',
    'crossing_prob',
    'companion_prob',
    'occluder_prob',
    'leave_prob',
    'return_prob',
    'late_prob',
    'short_video_prob',
    'empty_frame_prob',
    'contrast',
    'texture_strength',
    'min_visible',
)
_RANGES = ('num_objects', 'object_size', 'speed', 'crossing_speed', 'short_frames', 'absence')


@dataclass(frozen=True)
class SynthVISConfig:
    """All that decides what a SynthVIS video looks like, besides its seed.

    Lengths are fractions of the frame height unless said otherwise, so that a set keeps its
    character at any size; times are in frames; probabilities are in [0, 1].

    Attributes:
        frames: Frames of a video of normal length.
        size: Frame height and width in pixels.
        classes: Names of the shape families to draw from, a subset of ``SYNTHVIS_CLASSES``. The
            order decides the category ids 1, 2, ....
        num_objects: Fewest and most objects of a video.
        object_size: Smallest and largest diameter of an object (before its size change).
        size_change: Largest relative change of the diameter over a video.
        rotation: Largest rotation in radians per frame.
        speed: Slowest and fastest speed of an object per frame.
        crossing_speed: Slowest and fastest speed per frame at which the two of a crossing pair pass
            each other; fast ones turn back before the border and cross again.
        look_alike_prob: Chance that a video of two or more objects has a pair of look-alikes: same
            class, size, texture and colours.
        crossing_prob: Chance that a pair (the look-alikes, where there are any) crosses: one passes
            straight over the other about the middle of the video.
        companion_prob: Chance that an object (not of a crossing pair) stays beside another one, so
            that one of the two is partly hidden for long.
        occluder_prob: Chance of a textured bar, not an object, that stands in front of everything.
        occluder_width: Largest width of such a bar.
        leave_prob: Chance that an object (not of a crossing pair) leaves the frame.
        return_prob: Chance that an object that leaves comes back.
        absence: Fewest and most frames that a returning object is fully outside.
        late_prob: Chance that an object (not of a crossing pair) enters after the first frame.
        short_video_prob: Chance that a video has ``short_frames`` instead of ``frames`` frames.
        short_frames: Fewest and most frames of a short video; meant to be fewer than a clip has.
        empty_frame_prob: Chance that a video starts or ends with frames in which nothing is
            visible.
        background_speed: Largest speed of the background; it turns and zooms in proportion.
        contrast: Distance wanted between the colours of an object and those of the background, in
            [0, 1] of the largest distance in RGB.
        texture_strength: How strong the background pattern is, in [0, 1].
        noise: Standard deviation of the pixel noise, in grey levels.
        blur: Largest standard deviation of the Gaussian blur of a video, in pixels at 96 rows.
        min_visible: Least visible area of an annotated object, as a fraction of the frame area;
            smaller slivers count as not visible.
        image_format: ``'jpg'`` or ``'png'``.
        jpeg_quality: JPEG quality in 1..100.

    Raises:
        ValueError: If a value is out of its range; the message names the field.
    """

    frames: int = 16
    size: tuple[int, int] = (96, 160)
    classes: tuple[str, ...] = SYNTHVIS_CLASSES
    num_objects: tuple[int, int] = (1, 4)
    object_size: tuple[float, float] = (0.26, 0.46)
    size_change: float = 0.2
    rotation: float = 0.1
    speed: tuple[float, float] = (0.02, 0.06)
    crossing_speed: tuple[float, float] = (0.06, 0.15)
    look_alike_prob: float = 0.6
    crossing_prob: float = 0.75
    companion_prob: float = 0.35
    occluder_prob: float = 0.35
    occluder_width: float = 0.34
    leave_prob: float = 0.3
    return_prob: float = 0.6
    absence: tuple[int, int] = (1, 3)
    late_prob: float = 0.25
    short_video_prob: float = 0.1
    short_frames: tuple[int, int] = (2, 3)
    empty_frame_prob: float = 0.08
    background_speed: float = 0.015
    contrast: float = 0.3
    texture_strength: float = 0.5
    noise: float = 3.0
    blur: float = 0.5
    min_visible: float = 0.001
    image_format: str = 'jpg'
    jpeg_quality: int = 92

    def __post_init__(self) -> None:
        for name in ('size', 'classes', *_RANGES):
            value = getattr(self, name)
            if isinstance(value, str) or not hasattr(value, '__iter__'):
                raise ValueError(f'SynthVIS: {name} must be a sequence, got {value!r}')
            object.__setattr__(self, name, tuple(value))
        self._check()

    def _check(self) -> None:
        """Check every field; raises ValueError that names the first bad one."""
        for field in dataclasses.fields(self):
            _check_kind(field.name, getattr(self, field.name), field.default)
        _require(self, 'frames', self.frames >= 1, '1 or more')
        _require(self, 'size', all(32 <= s <= 8192 for s in self.size), 'H W from 32 to 8192')
        good = 0 < len(set(self.classes) & set(SYNTHVIS_CLASSES)) == len(self.classes)
        _require(self, 'classes', good, f'different names out of {", ".join(SYNTHVIS_CLASSES)}')
        for name in _FRACTIONS:
            _require(self, name, 0 <= getattr(self, name) <= 1, 'a number from 0 to 1')
        for name in _RANGES:
            low, high = getattr(self, name)
            _require(self, name, 0 <= low <= high, 'LOW HIGH with 0 <= LOW <= HIGH')
        for name in ('short_frames', 'absence'):
            _require(self, name, getattr(self, name)[0] >= 1, 'LOW HIGH with 1 <= LOW <= HIGH')
        low, high = self.object_size
        _require(self, 'object_size', 0.02 <= low <= high <= 1, 'LOW HIGH from 0.02 to 1')
        for name in ('rotation', 'occluder_width', 'background_speed', 'noise', 'blur'):
            _require(self, name, getattr(self, name) >= 0, '0 or more')
        _require(self, 'size_change', 0 <= self.size_change < 1, '0 or more and less than 1')
        _require(self, 'image_format', self.image_format in ('jpg', 'png'), "'jpg' or 'png'")
        _require(self, 'jpeg_quality', 1 <= self.jpeg_quality <= 100, '1 to 100')

    @classmethod
    def preset(cls, difficulty: str = 'standard', **overrides: Any) -> SynthVISConfig:
        """Return the settings of a difficulty, with single fields replaced.

        Args:
            difficulty: One of ``DIFFICULTIES``.
            **overrides: Fields to set differently.

        Raises:
            ValueError: If the difficulty or a field is unknown, or a value is out of range.
        """
        if difficulty not in _PRESETS:
            raise ValueError(
                f'SynthVIS: unknown difficulty {difficulty!r}, '
                f'expected one of {", ".join(DIFFICULTIES)}'
            )
        names = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(overrides) - names)
        if unknown:
            raise ValueError(
                f'SynthVIS: unknown setting {", ".join(unknown)}; '
                f'there are {", ".join(sorted(names))}'
            )
        return cls(**{**_PRESETS[difficulty], **overrides})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain lists and numbers, ready for JSON."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }


def _check_kind(name: str, value: Any, default: Any) -> None:
    """Check that a value is of the kind of its default: text, number, or a pair of numbers."""
    kinds = {str: 'text', int: 'an integer', float: 'a number'}
    if isinstance(default, tuple):
        kind = type(default[0])
        if kind is not str and len(value) != len(default):
            raise ValueError(f'SynthVIS: {name} is {value!r}, expected {len(default)} numbers')
    else:
        kind, value = type(default), (value,)
    for item in value:
        good = isinstance(item, (int, float) if kind is float else kind)
        if not good or isinstance(item, bool) or (kind is float and not math.isfinite(item)):
            raise ValueError(f'SynthVIS: {name} has {item!r} where {kinds[kind]} is expected')


def _require(config: SynthVISConfig, name: str, good: bool, expected: str) -> None:
    if not good:
        raise ValueError(f'SynthVIS: {name} is {getattr(config, name)!r}, expected {expected}')


_PRESETS: dict[str, dict[str, Any]] = {
    'easy': {
        'num_objects': (1, 3),
        'object_size': (0.3, 0.5),
        'size_change': 0.1,
        'rotation': 0.05,
        'speed': (0.01, 0.04),
        'crossing_speed': (0.04, 0.08),
        'look_alike_prob': 0.25,
        'crossing_prob': 0.25,
        'companion_prob': 0.1,
        'occluder_prob': 0.0,
        'leave_prob': 0.1,
        'late_prob': 0.1,
        'short_video_prob': 0.05,
        'empty_frame_prob': 0.05,
        'background_speed': 0.005,
        'contrast': 0.4,
        'texture_strength': 0.25,
        'noise': 2.0,
        'blur': 0.0,
    },
    'standard': {},
    'hard': {
        'num_objects': (3, 7),
        'object_size': (0.16, 0.4),
        'size_change': 0.35,
        'rotation': 0.2,
        'speed': (0.03, 0.08),
        'crossing_speed': (0.1, 0.22),
        'look_alike_prob': 0.95,
        'crossing_prob': 0.9,
        'companion_prob': 0.5,
        'occluder_prob': 0.6,
        'occluder_width': 0.45,
        'leave_prob': 0.45,
        'return_prob': 0.7,
        'absence': (2, 6),
        'late_prob': 0.35,
        'short_video_prob': 0.12,
        'short_frames': (1, 3),
        'empty_frame_prob': 0.1,
        'background_speed': 0.03,
        'contrast': 0.18,
        'texture_strength': 0.9,
        'noise': 6.0,
        'blur': 1.0,
    },
}
