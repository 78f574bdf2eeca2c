"""State dicts of the official DeVIS release, to and from ours."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .renaming import RenameTable
from .swin import from_mmdet_merging, is_swin_merging, to_mmdet_merging

# Rows of the release's 91 COCO logits (category id - 1) that hold MMDetection's 80 classes.
_UNUSED_COCO_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91}
COCO_ROWS = tuple(i - 1 for i in range(1, 92) if i not in _UNUSED_COCO_IDS)

# The release stores the box branches twice under two names.
_BOX_ALIAS = 'def_detr.transformer.decoder.bbox_embed.'
_BOX_KEY = 'def_detr.bbox_embed.'

_BODY = 'def_detr.backbone.0.body.'
_TRANSFORMER = 'def_detr.transformer.'
_CLASSES = 'bbox_head.cls_branches.'
_ATTENTION = 'bbox_head.mask_head.attentions.'
_MASK = 'bbox_head.mask_head.'

# Tensors of ours that follow from the config alone.
_DERIVED = ('num_batches_tracked', 'relative_position_index')

_SWIN = [
    ('patch_embed.proj.{p}', 'patch_embed.projection.{p}'),
    ('patch_embed.norm.{p}', 'patch_embed.norm.{p}'),
    ('layers.{i}.blocks.{j}.attn.{p}', 'stages.{i}.blocks.{j}.attn.w_msa.{p}'),
    ('layers.{i}.blocks.{j}.mlp.fc1.{p}', 'stages.{i}.blocks.{j}.ffn.layers.0.0.{p}'),
    ('layers.{i}.blocks.{j}.mlp.fc2.{p}', 'stages.{i}.blocks.{j}.ffn.layers.1.{p}'),
    ('layers.{i}.blocks.{j}.norm{k}.{p}', 'stages.{i}.blocks.{j}.norm{k}.{p}'),
    ('layers.{i}.downsample.{p}', 'stages.{i}.downsample.{p}'),
    ('norm{i}.{p}', 'norm{i}.{p}'),
]

_PARTS = [
    ('def_detr.backbone.1.temporal_embed', 'positional_encoding.temporal_embed'),
    (_TRANSFORMER + 'level_embed', 'level_embed'),
    (_TRANSFORMER + 'reference_points.{p}', 'reference_points_fc.{p}'),
    (_TRANSFORMER + 'encoder.layers.{i}.norm1.{p}', 'encoder.layers.{i}.norms.0.{p}'),
    (_TRANSFORMER + 'encoder.layers.{i}.norm2.{p}', 'encoder.layers.{i}.norms.1.{p}'),
    (_TRANSFORMER + 'encoder.layers.{i}.linear1.{p}', 'encoder.layers.{i}.ffn.layers.0.0.{p}'),
    (_TRANSFORMER + 'encoder.layers.{i}.linear2.{p}', 'encoder.layers.{i}.ffn.layers.1.{p}'),
    (_TRANSFORMER + 'encoder.layers.{i}.self_attn.{p}', 'encoder.layers.{i}.self_attn.{p}'),
    # The release numbers the norms by age of the code: norm1 follows the cross-attention.
    (_TRANSFORMER + 'decoder.layers.{i}.norm2.{p}', 'decoder.layers.{i}.norms.0.{p}'),
    (_TRANSFORMER + 'decoder.layers.{i}.norm1.{p}', 'decoder.layers.{i}.norms.1.{p}'),
    (_TRANSFORMER + 'decoder.layers.{i}.norm3.{p}', 'decoder.layers.{i}.norms.2.{p}'),
    (_TRANSFORMER + 'decoder.layers.{i}.linear1.{p}', 'decoder.layers.{i}.ffn.layers.0.0.{p}'),
    (_TRANSFORMER + 'decoder.layers.{i}.linear2.{p}', 'decoder.layers.{i}.ffn.layers.1.{p}'),
    (_TRANSFORMER + 'decoder.layers.{i}.self_attn.{p}', 'decoder.layers.{i}.self_attn.attn.{p}'),
    (_TRANSFORMER + 'decoder.layers.{i}.cross_attn.{p}', 'decoder.layers.{i}.cross_attn.{p}'),
    ('def_detr.class_embed.{i}.{p}', 'bbox_head.cls_branches.{i}.{p}'),
    (_BOX_KEY + '{i}.layers.0.{p}', 'bbox_head.reg_branches.{i}.0.{p}'),
    (_BOX_KEY + '{i}.layers.1.{p}', 'bbox_head.reg_branches.{i}.2.{p}'),
    (_BOX_KEY + '{i}.layers.2.{p}', 'bbox_head.reg_branches.{i}.4.{p}'),
    ('def_detr.query_embed.{p}', 'query_embedding.{p}'),
    ('bbox_attention.q_linear.{p}', _ATTENTION + '0.q_proj.{p}'),
    ('bbox_attention.k_linear.{p}', _ATTENTION + '0.k_proj.{p}'),
    ('bbox_attention.q_linear_{i}.{p}', _ATTENTION + '{i}.q_proj.{p}'),
    ('bbox_attention.k_linear_{i}.{p}', _ATTENTION + '{i}.k_proj.{p}'),
    ('mask_head.lay1.{p}', _MASK + 'stem.0.0.{p}'),
    ('mask_head.gn1.{p}', _MASK + 'stem.0.1.{p}'),
    ('mask_head.lay2.{p}', _MASK + 'stem.1.0.{p}'),
    ('mask_head.gn2.{p}', _MASK + 'stem.1.1.{p}'),
    *(
        pair
        for i in range(3)
        for pair in (
            (f'mask_head.lay{i + 3}.{{p}}', f'{_MASK}blocks.{i}.0.{{p}}'),
            (f'mask_head.gn{i + 3}.{{p}}', f'{_MASK}blocks.{i}.1.{{p}}'),
            (f'mask_head.adapter{i + 1}.{{p}}', f'{_MASK}adapters.{i}.{{p}}'),
        )
    ),
]


def _table(swin: bool, temporal_head: bool, neck_levels: int) -> RenameTable:
    """Renaming for one kind of model.

    Args:
        swin: Swin backbone instead of ResNet.
        temporal_head: 3-d convolution mask head.
        neck_levels: Levels that the neck maps from the backbone (the rest are extra levels).
    """
    pairs = list(_PARTS)
    if swin:
        pairs += [(_BODY + left, 'backbone.' + right) for left, right in _SWIN]
    else:
        pairs.append((_BODY + '{p}', 'backbone.{p}'))
    for level in range(8):
        ours = f'convs.{level}' if level < neck_levels else f'extra_convs.{level - neck_levels}'
        pairs += [
            (f'def_detr.input_proj.{level}.0.{{p}}', f'neck.{ours}.conv.{{p}}'),
            (f'def_detr.input_proj.{level}.1.{{p}}', f'neck.{ours}.gn.{{p}}'),
        ]
    predictor = 'conv_head_3d.{p}' if temporal_head else 'mask_head.out_lay.{p}'
    pairs.append((predictor, _MASK + 'predictor.{p}'))
    return RenameTable(pairs)


def _table_for(target: Mapping[str, Tensor]) -> RenameTable:
    """Renaming for the model whose state dict is given."""
    levels = {key.split('.')[2] for key in target if key.startswith('neck.convs.')}
    return _table(
        swin=any(key.startswith('backbone.stages.') for key in target),
        temporal_head=_MASK + 'predictor.0.weight' in target,
        neck_levels=len(levels),
    )


def official_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Official keys of a model's tensors.

    Args:
        state: State dict of the model.

    Returns:
        Official key by our name, without what the release has no place for.
    """
    table = _table_for(state)
    keys = {name: table.left(name) for name in state}
    return {name: key for name, key in keys.items() if key is not None}


def _swin_prefix(source: Mapping[str, Tensor]) -> str:
    """Where the release's Swin lies, which depends on how it was wrapped."""
    stem = 'patch_embed.proj.weight'
    found = [key.removesuffix(stem) for key in source if key.endswith(stem)]
    return found[0] if found else _BODY


def is_official(source: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the release's names."""
    return any(key.startswith('def_detr.') for key in source)


def rename_official(
    source: Mapping[str, Tensor], target: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Give the tensors of an official state dict our names, whatever their shapes.

    Args:
        source: State dict of the release.
        target: State dict of our model, gives the names.

    Returns:
        - the tensors by our name
        - one line for each key that has no place, with the reason
    """
    table = _table_for(target)
    prefix = _swin_prefix(source)
    renamed: dict[str, Tensor] = {}
    problems: list[str] = []
    for key, value in source.items():
        if key.startswith(_BOX_ALIAS):
            twin = source.get(_BOX_KEY + key[len(_BOX_ALIAS) :])
            if twin is None or not torch.equal(twin, value):
                problems.append(f'{key}: should equal its twin below {_BOX_KEY}')
            continue
        name = table.right(_BODY + key[len(prefix) :] if key.startswith(prefix) else key)
        if name is None or name not in target:
            problems.append(f'{key}: the model of the config has no such part')
            continue
        renamed[name] = to_mmdet_merging(value) if is_swin_merging(name) else value
    return renamed, problems


def convert_official(
    source: Mapping[str, Tensor], target: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Rename an official state dict for one of our models, strictly.

    Args:
        source: State dict of the release.
        target: State dict of our model, gives names and shapes.

    Returns:
        - our state dict
        - what our model has no place for but ``--reverse`` needs: the class rows of the release's
          91 COCO logits, by official key

    Raises:
        ValueError: If a key of either side has no partner or shapes differ; all are named.
    """
    keys = official_names(target)
    renamed, problems = rename_official(source, target)
    converted: dict[str, Tensor] = {}
    extra: dict[str, Tensor] = {}
    for name, wanted in target.items():
        value = renamed.get(name)
        if value is None:
            if name.endswith(_DERIVED):
                # The release's frozen batch norms count no batches; the index of Swin's relative
                # positions follows from the window and is not in every checkpoint.
                converted[name] = wanted.clone()
            else:
                problems.append(f'{keys.get(name, name)}: missing in the checkpoint')
            continue
        if name.startswith(_CLASSES) and (len(value), len(wanted)) == (91, 80):
            extra[keys[name]] = value
            value = value[list(COCO_ROWS)]
        if value.shape != wanted.shape:
            problems.append(
                f'{keys[name]}: shape {tuple(value.shape)}, the config wants {tuple(wanted.shape)}'
            )
            continue
        converted[name] = value
    if problems:
        raise ValueError(
            'checkpoint and config do not belong together:\n  ' + '\n  '.join(sorted(problems))
        )
    return converted, extra


def revert_to_official(
    source: Mapping[str, Tensor],
    extra: Mapping[str, Tensor] | None = None,
    keys: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """Rename our state dict for the official release.

    Args:
        source: Our state dict.
        extra: Second result of :func:`convert_official`, by official key.
        keys: Keys of the checkpoint that was converted; the result has them in that order. None
            means all that the release would have.

    Returns:
        The official state dict; what was converted before comes back unchanged.

    Raises:
        ValueError: If a key of ours has no official name; all are named.
    """
    names = official_names(source)
    unknown = [n for n in source if n not in names and not n.endswith('num_batches_tracked')]
    if unknown:
        raise ValueError('no official name for:\n  ' + '\n  '.join(sorted(unknown)))
    official: dict[str, Tensor] = {}
    for name, key in names.items():
        if name.endswith('num_batches_tracked'):
            continue
        value = source[name]
        if is_swin_merging(name):
            value = from_mmdet_merging(value)
        if extra and key in extra:
            rows = extra[key].clone()
            rows[list(COCO_ROWS)] = value
            value = rows
        official[key] = value
        if key.startswith(_BOX_KEY):
            official[_BOX_ALIAS + key[len(_BOX_KEY) :]] = value
    if keys is None:
        return official
    prefix = _swin_prefix(dict.fromkeys(keys))
    ours = {k: _BODY + k[len(prefix) :] if k.startswith(prefix) else k for k in keys}
    return {key: official[ours[key]] for key in keys}
