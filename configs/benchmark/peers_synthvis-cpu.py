# The same on two CPU cores: few frames of easier videos, and small heads.
_base_ = ['./peers_synthvis.py', '../devis/_base_/datasets/calm_videos.py']

note = (
    'Scaled down for two CPU cores: every model, but few training frames, three classes of large '
    'objects, and small heads (128 channels; 2 encoder and 3 decoder layers in both transformers).'
)
train_frames = 12_000

data = dict(root='data/benchmark/synthvis-small', settings={{_base_.calm_videos}})

num_classes = 3
_devis = {
    '_delete_': True,
    'model.bbox_head.num_classes': num_classes,
    'model.bbox_head.pixel_classifier.num_classes': num_classes,
}
_small = dict(
    self_attn_cfg=dict(embed_dims=128),
    ffn_cfg=dict(embed_dims=128, feedforward_channels=256),
)
_head = 'model.track_head'
entries = dict(
    devis_images=dict(batch_size=8, options=_devis),
    devis=dict(batch_size=2, options=_devis),
    mask2former=dict(
        batch_size=4,
        options={
            f'{_head}.num_classes': num_classes,
            f'{_head}.loss_cls.class_weight': [1.0] * num_classes + [0.1],
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
        },
    ),
    masktrack_rcnn=dict(
        batch_size=4,
        options={
            'model.detector.roi_head.bbox_head.num_classes': num_classes,
            'model.detector.roi_head.mask_head.num_classes': num_classes,
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
            # A core needs 2 s for an iteration otherwise.
            'model.detector.train_cfg.rcnn.sampler.num': 64,
            **{
                f'model.{part}.roi_layer.sampling_ratio': 2
                for part in (
                    'detector.roi_head.bbox_roi_extractor',
                    'detector.roi_head.mask_roi_extractor',
                    'track_head.roi_extractor',
                )
            },
        },
    ),
)
