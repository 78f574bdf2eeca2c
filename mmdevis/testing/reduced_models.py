"""Real configs at a size that tests can afford."""

import copy
import logging

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn

# Width of the transformer in reduced models, and what follows from it.
_WIDTH = 32
_HEADS = 4


def reduce_model(model: dict, num_layers: int | None = None) -> dict:
    """Make the model of a config narrow, and keep all that the config is about.

    Number of frames, queries, levels, sampling points, losses, tracker and the kind of every part
    stay; widths shrink, nothing is pre-trained and dropout is off.

    Args:
        model: ``cfg.model`` of a DeVIS or deformable-mask-detr config.
        num_layers: Encoder and decoder layers; None keeps them. Needs ``layer_weights=None``.

    Returns:
        Config of the reduced model.
    """
    model = copy.deepcopy(dict(model))
    channels = _reduce_backbone(model['backbone'])
    neck = model['neck']
    neck.update(
        in_channels=channels[-len(neck['in_channels']) :],
        out_channels=_WIDTH,
        norm_cfg=dict(type='GN', num_groups=8),
    )
    for part in (model['encoder'], model['decoder']):
        part['num_layers'] = num_layers or part['num_layers']
        layer = part['layer_cfg']
        layer['ffn_cfg'].update(embed_dims=_WIDTH, feedforward_channels=2 * _WIDTH, ffn_drop=0.0)
        for name in ('self_attn_cfg', 'cross_attn_cfg'):
            if name in layer:
                layer[name].update(embed_dims=_WIDTH, num_heads=_HEADS, dropout=0.0)
    model['positional_encoding']['num_feats'] = _WIDTH // 2
    head = model['bbox_head']
    head['embed_dims'] = _WIDTH
    if head.get('pixel_classifier'):
        head['pixel_classifier']['embed_dims'] = _WIDTH
    mask_head = head['mask_head']
    finer = [_WIDTH] * 2 if mask_head['encoded_features'] else channels[-2:0:-1]
    mask_head.update(
        embed_dims=_WIDTH, num_heads=_HEADS, feature_channels=(*finer, channels[0]), num_groups=2
    )
    return model


def build_reduced(cfg: Config, seed: int = 0) -> nn.Module:
    """Build the reduced model of a config, initialised.

    Args:
        cfg: The whole config; stays as it is.
        seed: Of the random weights.
    """
    torch.manual_seed(seed)
    model = MODELS.build(reduce_model(cfg.model))
    # MMEngine reports every parameter that it initialises, which takes longer than doing so.
    # `logging.disable` would not do: MMEngine's loggers remember for good what it forbade.
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        model.init_weights()
    finally:
        logger.setLevel(level)
    return model


def _reduce_backbone(backbone: dict) -> list[int]:
    """Shrink a backbone in place; returns its channels from stride 4 to stride 32."""
    backbone['init_cfg'] = None
    if backbone['type'] == 'ResNet':
        backbone['base_channels'] = 4
        expansion = 1 if backbone['depth'] < 50 else 4
        return [4 * expansion * 2**i for i in range(4)]
    if backbone['type'] == 'SwinTransformer':
        backbone.update(embed_dims=8, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4), window_size=4)
        return [8 * 2**i for i in range(4)]
    raise ValueError(f'no reduced size is known for backbone {backbone["type"]!r}')
