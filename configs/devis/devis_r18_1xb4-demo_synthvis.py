# Small DeVIS with every part switched on, for SynthVIS on two CPU cores (`make demo`).
_base_ = ['./_base_/datasets/synthvis.py', './_base_/motion_tracker.py']

num_classes = 6  # the demo makes data with fewer and says so to the model

model = dict(
    num_frames=4,
    num_queries=40,  # 10 trajectories
    num_query_groups=3,
    num_feature_levels=3,
    data_preprocessor=dict(mean=[114.0, 114.0, 114.0], std=[58.0, 58.0, 58.0]),
    backbone=dict(
        depth=18,
        base_channels=32,
        deep_stem=True,
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,  # the few videos of a batch say little about all of them
        # Residual branches that start at zero learn late, and there is no time for late.
        zero_init_residual=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[64, 128, 256], out_channels=128, num_outs=3),
    encoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=128, num_heads=8, dropout=0.0),
            ffn_cfg=dict(embed_dims=128, feedforward_channels=256, ffn_drop=0.0),
        ),
    ),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=128, num_heads=8, dropout=0.0),
            cross_attn_cfg=dict(embed_dims=128, num_heads=8, dropout=0.0),
            ffn_cfg=dict(embed_dims=128, feedforward_channels=256, ffn_drop=0.0),
        ),
    ),
    positional_encoding=dict(num_feats=64),
    bbox_head=dict(
        num_classes=num_classes,
        embed_dims=128,
        mask_head=dict(
            embed_dims=128,
            num_heads=8,
            feature_channels=(128, 128, 32),
            unit_attention=True,
            box_prior=True,
        ),
        # From scratch and in minutes: every pixel teaches the encoder.
        pixel_classifier=dict(
            type='PixelClassifier', embed_dims=128, num_classes=num_classes, loss_weight=2.0
        ),
        loss_cls=dict(loss_weight=4.0),
        loss_mask=dict(loss_weight=4.0),
        loss_dice=dict(loss_weight=4.0),
        aux_mask_layers=(),
        layer_weights=(0.5, 0.5, 1.0),
    ),
    tracker={{_base_.motion_tracker}},
    test_cfg=dict(max_per_clip=10, stride=2),
)

train_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(num_frames=4))

max_epochs = 12
train_cfg = dict(
    _delete_=True, type='ReproducibleEpochLoop', max_epochs=max_epochs, val_interval=max_epochs
)
optim_wrapper = dict(
    constructor='MergedGroupsConstructor',
    optimizer=dict(type='AdamW', lr=7e-4, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=0.5, norm_type=2),
    paramwise_cfg=dict(
        custom_keys={
            'backbone': dict(lr_mult=1.0),
            'sampling_offsets': dict(lr_mult=0.1),
            'reference_points': dict(lr_mult=0.1),
        }
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR', by_epoch=True, begin=0, end=max_epochs, convert_to_iter_based=True
    ),
]
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(logger=dict(interval=20))
