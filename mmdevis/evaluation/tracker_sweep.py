"""One evaluation for each of many settings of the tracker, on recorded clip predictions."""

from __future__ import annotations

import copy
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from mmdet.registry import TASK_UTILS
from mmengine.evaluator import Evaluator

from mmdevis.apis.streaming import VideoStream
from mmdevis.models.vis.track_results import add_tracks_to_sample
from mmdevis.structures import ClipPrediction, Track

from .clip_store import ClipStore, RecordedVideo

#: Choices of a sweep that are keys of `test_cfg`; all others are arguments of the tracker.
CLIP_KEYS = ('stride', 'max_per_clip')


@dataclass(frozen=True)
class Setting:
    """One point of the grid.

    Args:
        stride: Frames between clips.
        max_per_clip: (trajectory, class) pairs of a clip.
        tracker: Config of the tracker.
        changed: What the grid says, by key.
    """

    stride: int
    max_per_clip: int
    tracker: dict[str, Any]
    changed: dict[str, Any]


def expand_grid(model_cfg: Mapping[str, Any], grid: Mapping[str, Sequence[Any]]) -> list[Setting]:
    """All combinations of a grid, on top of the settings of a config.

    Args:
        model_cfg: `cfg.model` of a DeVIS config.
        grid: Values by key: arguments of the tracker, `stride` or `max_per_clip`.

    Returns:
        The settings, the last key varying fastest; without a grid, that of the config.

    Raises:
        ValueError: For a key that the tracker does not have, a value that it refuses, or a stride
            that leaves no overlap.
    """
    base = dict(model_cfg['tracker'])
    defaults = {key: model_cfg['test_cfg'][key] for key in CLIP_KEYS}
    known = [*inspect.signature(TASK_UTILS.get(base['type'])).parameters, *CLIP_KEYS]
    unknown = [key for key in grid if key not in known]
    if unknown:
        raise ValueError(f'the grid has {unknown}; {base["type"]} knows {", ".join(known)}')
    settings = []
    for values in itertools.product(*grid.values()):
        changed = dict(zip(grid, values))
        tracker = base | {key: changed[key] for key in changed if key not in CLIP_KEYS}
        clip = defaults | {key: changed[key] for key in CLIP_KEYS if key in changed}
        TASK_UTILS.build(tracker)  # refuses impossible values now
        if not 1 <= clip['stride'] < model_cfg['num_frames'] or clip['max_per_clip'] < 1:
            raise ValueError(
                f'{clip}: stride must be in 1..{model_cfg["num_frames"] - 1} (clips have to '
                'overlap) and max_per_clip at least 1'
            )
        settings.append(Setting(**clip, tracker=tracker, changed=changed))
    return settings


def recording_needs(settings: Sequence[Setting]) -> tuple[int, int]:
    """Stride and pairs per clip to record so that all settings can run."""
    stride = math.gcd(*(setting.stride for setting in settings))
    return stride, max(setting.max_per_clip for setting in settings)


def track_video(
    video: RecordedVideo,
    num_frames: int,
    settings: Sequence[Setting],
    device: torch.device | str = 'cpu',
) -> list[list[Track]]:
    """Track a recorded video with several settings at once.

    The trackers go through the video side by side, so that the masks of a clip are brought to
    their final size once for all of them.

    Args:
        video: The predictions.
        num_frames: T, frames of a clip.
        settings: The settings.
        device: Where masks are resized and compared.

    Returns:
        Finished tracks for each setting.
    """

    @lru_cache(maxsize=len({setting.max_per_clip for setting in settings}))
    def prediction(indices: tuple[int, ...], max_per_clip: int) -> ClipPrediction:
        return video.prediction(indices, max_per_clip, device)

    def predictor(max_per_clip: int) -> Callable[[list, list[int]], ClipPrediction]:
        return lambda frames, indices: prediction(tuple(indices), max_per_clip)

    streams = [
        VideoStream(
            predictor(setting.max_per_clip),
            TASK_UTILS.build(setting.tracker),
            num_frames,
            setting.stride,
        )
        for setting in settings
    ]
    for frame in range(video.length):
        for stream in streams:
            stream.push(frame)
    return [stream.close()[1] for stream in streams]


def sweep(
    dataset: Any,
    store: ClipStore,
    num_frames: int,
    settings: Sequence[Setting],
    evaluator_cfg: Any,
    device: torch.device | str = 'cpu',
    at_once: int = 8,
    progress: Callable[[int], Any] = lambda count: None,
) -> Iterator[tuple[Setting, dict[str, float]]]:
    """Evaluate all settings.

    Args:
        dataset: Test data set whose videos are all recorded.
        store: The record.
        num_frames: T, frames of a clip.
        settings: The settings.
        evaluator_cfg: As `cfg.test_evaluator`.
        device: Where masks are resized and compared.
        at_once: Settings that go through the data together. More are faster and need more memory,
            because each holds its own results.
        progress: Called with the number of (video, setting) pairs that were tracked.

    Yields:
        Each setting with its metrics, in order.
    """
    for first in range(0, len(settings), at_once):
        group = settings[first : first + at_once]
        evaluators = [Evaluator(copy.deepcopy(evaluator_cfg)) for _ in group]
        for evaluator in evaluators:
            evaluator.dataset_meta = dataset.metainfo
        for index in range(len(dataset)):
            sample = dataset[index]['data_samples']
            video = store.read(video_id_of(sample))
            for evaluator, tracks in zip(evaluators, track_video(video, num_frames, group, device)):
                result = copy.deepcopy(sample)  # metrics may change what they are given
                add_tracks_to_sample(result, tracks)
                evaluator.process([result], {})
            progress(len(group))
        for setting, evaluator in zip(group, evaluators):
            yield setting, evaluator.evaluate(len(dataset))


def video_id_of(sample: Any) -> int:
    """Id of the video that a `TrackDataSample` describes."""
    return sample.video_data_samples[0].metainfo['video_id']
