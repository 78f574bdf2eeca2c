# The same on two CPU cores: fewer frames, the peers' heads as small as ours.
_base_ = './peers_synthvis.py'

note = (
    'Scaled down for two CPU cores: every model, but few training frames and small heads '
    '(128 channels; 2 encoder and 3 decoder layers in both transformers).'
)
train_frames = 12_000

_small = dict(
    self_attn_cfg=dict(embed_dims=128),
    ffn_cfg=dict(embed_dims=128, feedforward_channels=256),
)
_head = 'model.track_head'
entries = dict(
    mask2former=dict(
        options={
            f'{_head}.feat_channels': 128,
            f'{_head}.out_channels': 128,
            f'{_head}.pixel_decoder.encoder.num_layers': 2,
            f'{_head}.pixel_decoder.encoder.layer_cfg': _small,
            f'{_head}.pixel_decoder.positional_encoding.num_feats': 64,
            f'{_head}.positional_encoding.num_feats': 64,
            f'{_head}.transformer_decoder.num_layers': 3,
            f'{_head}.transformer_decoder.layer_cfg': dict(
                cross_attn_cfg=dict(embed_dims=128), **_small
            ),
            f'{_head}.train_cfg.num_points': 2048,
        }
    ),
    masktrack_rcnn=dict(
        options={
            'model.detector.neck.out_channels': 128,
            'model.detector.rpn_head.in_channels': 128,
            'model.detector.rpn_head.feat_channels': 128,
            'model.detector.roi_head.bbox_roi_extractor.out_channels': 128,
            'model.detector.roi_head.bbox_head.in_channels': 128,
            'model.detector.roi_head.bbox_head.fc_out_channels': 256,
            'model.detector.roi_head.mask_roi_extractor.out_channels': 128,
            'model.detector.roi_head.mask_head.in_channels': 128,
            'model.detector.roi_head.mask_head.conv_out_channels': 128,
            'model.track_head.roi_extractor.out_channels': 128,
            'model.track_head.embed_head.in_channels': 128,
            'model.track_head.embed_head.fc_out_channels': 256,
        }
    ),
)
