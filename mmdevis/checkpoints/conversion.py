"""Checkpoint files of the official release, to and from ours."""

import copy
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from mmdevis.utils.checkpoint import CheckpointError, read_checkpoint
from mmdevis.utils.pending_file import whole_file
from mmdevis.version import __version__

from .classes import dataset_classes
from .initialisation import lacks_video_parts, start_from_image
from .official import convert_official, is_official, rename_official, revert_to_official


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config, which will get its weights from a checkpoint."""
    model = copy.deepcopy(cfg.model)
    model.backbone.init_cfg = None
    return MODELS.build(model)


def initialise_silently(model: nn.Module) -> None:
    """Initialise a model without MMEngine's message for each of its parameters."""
    logging.disable(logging.INFO)
    try:
        model.init_weights()
    finally:
        logging.disable(logging.NOTSET)


def convert_file(
    source: str | Path, target: str | Path, cfg: Config, map_classes: bool = True
) -> str:
    """Convert a checkpoint of the release.

    A checkpoint of the COCO stage and the config of a video model give what the video model starts
    from, see :func:`start_from_image`.

    Args:
        source: ``.pth`` of the release, with the state dict under ``model`` or bare.
        target: File to write, for MMEngine's ``load_checkpoint``: ``state_dict`` and ``meta``.
        cfg: Config of the model.
        map_classes: For a video model from the COCO stage: take over class rows by name.

    Returns:
        What was done, some lines of text.

    Raises:
        CheckpointError: If the file cannot be read safely or does not belong to the config; every
            key that does not fit is named.
    """
    content = read_checkpoint(source)
    weights, dropped = _official_weights(content, source)
    model = build_model(cfg)
    expected = model.state_dict()
    classes = dataset_classes(cfg.get('train_dataloader', {}).get('dataset', {'type': None}))
    origin: dict[str, Any] = dict(
        file=Path(source).name,
        sha256=_digest(source),
        wrapped='model' in content,
        dropped=dropped,
    )
    if _is_image_stage(weights, model):
        renamed, problems = rename_official(weights, expected)
        problems += [f'{n}: missing in the checkpoint' for n in _missing(renamed, expected)]
        if problems:
            raise CheckpointError(_refusal(source, problems))
        initialise_silently(model)
        state, report = start_from_image(
            model, renamed, target_classes=classes if map_classes else None
        )
        origin['kind'] = 'start of a video model'
        lines = ['The video model starts from this image model:', report.describe()]
    else:
        try:
            state, extra = convert_official(weights, expected)
        except ValueError as error:
            raise CheckpointError(f'{source}: {error}') from error
        origin.update(kind='conversion', class_rows=extra, keys=list(weights))
        lines = [f'{len(weights)} tensors converted, all of the config have a value']
    if dropped:
        lines.append(f'Left out, because it is no part of the model: {", ".join(dropped)}')
    meta: dict[str, Any] = dict(mmdevis_version=__version__, official=origin)
    if classes is not None:
        meta['dataset_meta'] = dict(classes=classes)
    write_atomically(dict(meta=meta, state_dict=state), target)
    return '\n'.join(lines)


def revert_file(source: str | Path, target: str | Path, cfg: Config) -> str:
    """Write one of our checkpoints in the layout of the release.

    Args:
        source: Our checkpoint, converted or trained.
        target: File to write; a converted checkpoint gives the tensors it was made of.
        cfg: Config of the model.

    Returns:
        What was done, some lines of text.

    Raises:
        CheckpointError: If the file cannot be read safely, does not belong to the config or cannot
            be expressed in the release's layout.
    """
    content = read_checkpoint(source)
    weights = content.get('state_dict', content)
    expected = build_model(cfg).state_dict()
    problems = [
        f'{name}: shape {tuple(value.shape)}, the config wants {tuple(expected[name].shape)}'
        for name, value in weights.items()
        if name in expected and value.shape != expected[name].shape
    ]
    problems += [f'{name}: the config has no such part' for name in weights if name not in expected]
    problems += [f'{name}: missing in the checkpoint' for name in expected if name not in weights]
    if problems:
        raise CheckpointError(_refusal(source, problems))
    origin = (content.get('meta') or {}).get('official') or {}
    try:
        official = revert_to_official(weights, origin.get('class_rows'), origin.get('keys'))
    except ValueError as error:
        raise CheckpointError(f'{source}: {error}') from error
    write_atomically(official if origin.get('wrapped') is False else dict(model=official), target)
    return f'{len(official)} tensors in the layout of the release'


def write_atomically(content: Mapping[str, Any], path: str | Path) -> None:
    """Save a checkpoint so that the name never stands for an incomplete file."""
    with whole_file(path) as temporary:
        torch.save(dict(content), temporary)


def _official_weights(
    content: Mapping[str, Any], source: str | Path
) -> tuple[dict[str, Tensor], list[str]]:
    """State dict of a file of the release, and what else lay beside it."""
    wrapped = content.get('model')
    weights = wrapped if isinstance(wrapped, Mapping) else content
    tensors = {key: value for key, value in weights.items() if isinstance(value, Tensor)}
    tensors = {key.removeprefix('module.'): value for key, value in tensors.items()}
    if not is_official(tensors):
        hint = ' It is one of ours or of MMDetection already.' if 'state_dict' in content else ''
        raise CheckpointError(
            f'{source} is no checkpoint of the official release: no key begins with '
            f"'def_detr.', neither below 'model' nor at the top.{hint}"
        )
    dropped = sorted(str(key) for key in content if weights is not content and key != 'model')
    dropped += sorted(str(key) for key, value in weights.items() if not isinstance(value, Tensor))
    return tensors, dropped


def _is_image_stage(weights: Mapping[str, Tensor], model: nn.Module) -> bool:
    """Whether an image checkpoint meets a video config (and is not simply the wrong one)."""
    is_video = any('temporal' in key for key in weights)
    return not is_video and model.num_frames > 1 and lacks_video_parts(weights, model)


def _missing(renamed: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Names of the image part of a model that are not among the renamed tensors."""
    optional = ('num_batches_tracked', 'relative_position_index')
    return [
        name
        for name in expected
        if name not in renamed and 'temporal' not in name and not name.endswith(optional)
    ]


def _refusal(source: str | Path, problems: list[str]) -> str:
    return f'{source} and the config do not belong together:\n  ' + '\n  '.join(sorted(problems))


def _digest(path: str | Path) -> str:
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
