# DeVIS on MobileNetV2 for small data sets of real frames in YouTube-VIS's format:
#   export VIS_DATA=path/to/data/ MOBILENETV2=path/to/weights.pth
#   python tools/train.py configs/devis/devis_mobilenetv2_1xb8-1k-images_ytvis-style.py
#   python tools/train.py configs/devis/devis_mobilenetv2_1xb2-2k_ytvis-style.py
# VIS_DATA holds train.json, val.json and JPEGImages; MOBILENETV2 is an ImageNet checkpoint in
# MMDetection's layout (leave it out to train from scratch).
_base_ = [
    './_base_/datasets/ytvis_style.py',
    './_base_/mobilenetv2.py',
    './_base_/motion_tracker.py',
]

dims = 128

model = dict(
    num_frames=4,
    num_queries=40,  # 10 trajectories
    num_query_groups=3,
    num_feature_levels=3,
    backbone={{_base_.mobilenetv2}},
    neck=dict(in_channels=[32, 96, 320], out_channels=dims, num_outs=3),
    encoder={{_base_.small_encoder}},
    decoder={{_base_.small_decoder}},
    positional_encoding=dict(num_feats=dims // 2),
    bbox_head=dict(
        num_classes=7,
        embed_dims=dims,
        mask_head=dict(
            embed_dims=dims,
            feature_channels=(dims, dims, 24),
            unit_attention=True,
            box_prior=True,
        ),
        # The transformer starts from scratch on few videos: every pixel teaches it.
        pixel_classifier=dict(
            type='PixelClassifier', embed_dims=dims, num_classes=7, loss_weight=2.0
        ),
        loss_mask=dict(loss_weight=4.0),
        loss_dice=dict(loss_weight=4.0),
        aux_mask_layers=(),
        layer_weights=(0.5, 0.5, 1.0),
    ),
    tracker={{_base_.motion_tracker}},
    test_cfg=dict(max_per_clip=10, stride=2),
)

# Masks have a quarter of this resolution. At 224 x 126 the best possible ones would score AP 0.78
# on small objects of 320 x 180 frames; outlines are exact to a fifth of a mask's cell.
resize = dict(type='Resize', scale=(400, 225), keep_ratio=True)
train_pipeline = [
    dict(type='SampleClip'),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadFrame'),
            dict(type='LoadTrackAnnotations', with_mask=True),
            resize,
            dict(type='RandomFlip', prob=0.5),
            dict(type='RecomputeBoxesFromMasks'),
        ],
    ),
    dict(type='PackTrackInputs'),
]
test_pipeline = [dict(type='PackLazyVideo', frame_pipeline=[dict(type='LoadFrame'), resize])]
train_dataloader = dict(batch_size=2, dataset=dict(num_frames=4, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_iters = 2000
train_cfg = dict(
    _delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters
)
optim_wrapper = dict(
    optimizer=dict(lr=5e-4, fused=True),
    clip_grad=dict(max_norm=0.5, norm_type=2),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.2)}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters, eta_min=0.0),
]
log_processor = dict(by_epoch=False)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(by_epoch=False, interval=500))
custom_hooks = [
    dict(
        type='StartFromImageHook',
        checkpoint='work_dirs/devis_mobilenetv2_1xb8-1k-images_ytvis-style/iter_1000.pth',
        repeat_queries=True,
    )
]
