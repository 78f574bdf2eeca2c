"""Stops training at the first loss that is not a finite number, and says which one and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class NonFiniteLossError(RuntimeError):
    """A loss is NaN or infinite; the message names it and the samples of the batch."""


def check_finite(losses: Mapping[str, Tensor | Sequence[Tensor]], data_samples: Any = None) -> None:
    """Checks every loss of an iteration, before anything is updated with it.

    Costs one transfer from the device to the host per call, not one per loss.

    Args:
        losses: Tensors of any shape, or sequences of them, by name.
        data_samples: What the losses belong to: data samples (image or track ones) or a sequence of
            them. Only their metainfo is read, and only for the message.

    Raises:
        NonFiniteLossError: When a value is NaN or infinite; names all such losses and the samples.
    """
    named = [(name, value) for name, value in _flatten(losses) if value.numel()]
    if not named:
        return
    finite = torch.stack([torch.isfinite(value.detach()).all() for _, value in named]).tolist()
    bad = [
        f'{name} = {value.detach().flatten()[:4].tolist()}'
        for (name, value), good in zip(named, finite)
        if not good
    ]
    if bad:
        raise NonFiniteLossError(
            'The loss is not a finite number; nothing was updated with it.\n'
            f'  losses: {"; ".join(bad)}\n'
            f'  samples: {"; ".join(describe_samples(data_samples)) or "not known"}\n'
            'Usual causes: a learning rate that is too high (lower optim_wrapper.optimizer.lr, or '
            'set optim_wrapper.clip_grad), mixed precision that overflows (leave out --amp), or '
            'boxes or images of these samples that hold NaN.'
        )


def _flatten(losses: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for name, value in losses.items():
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                if isinstance(item, Tensor):
                    yield f'{name}[{index}]', item


def describe_samples(data_samples: Any) -> list[str]:
    """Says which data a batch is made of.

    Args:
        data_samples: An image or track data sample, a sequence of them, or None.

    Returns:
        One line per sample, such as `video 3, frames 0, 4 (a/0.jpg .. a/4.jpg)`.
    """
    if data_samples is None:
        return []
    if isinstance(data_samples, (list, tuple)):
        return [line for sample in data_samples for line in describe_samples(sample)]
    frames = getattr(data_samples, 'video_data_samples', None)
    metas = [getattr(sample, 'metainfo', {}) for sample in (frames or [data_samples])]
    return [_describe(metas)]


def _describe(metas: Sequence[Mapping[str, Any]]) -> str:
    def collect(*keys: str) -> list[Any]:
        return [next((m[k] for k in keys if m.get(k) is not None), None) for m in metas]

    parts = []
    videos = [video for video in dict.fromkeys(collect('video_id')) if video is not None]
    if videos:
        parts.append(f'video {", ".join(map(str, videos))}')
    frames = [frame for frame in collect('frame_id') if frame is not None]
    if frames:
        parts.append(f'frames {", ".join(map(str, frames))}')
    elif images := [image for image in collect('img_id') if image is not None]:
        parts.append(f'image {", ".join(map(str, images))}')
    paths = [path for path in collect('img_path') if path is not None]
    if paths:
        shown = str(paths[0]) if len(paths) == 1 else f'{paths[0]} .. {paths[-1]}'
        parts.append(f'({shown})' if parts else shown)
    return ', '.join(parts).replace(', (', ' (') or 'a sample without metainfo'
