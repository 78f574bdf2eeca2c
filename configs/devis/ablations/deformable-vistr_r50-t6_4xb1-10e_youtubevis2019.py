# Table 1, "Deformable VisTR" of 6 frames: VisTR with temporal deformable attention, on one level.
# 34.0 AP.
#
# The rows of Table 1 build on one another: each file says what differs from the row before. This
# one takes everything away from the final model. Inputs are VisTR's 300 x 540.
_base_ = '../devis_r50_4xb1-9e_youtubevis2019.py'

model = dict(
    num_feature_levels=1,
    neck=dict(in_channels=[2048], num_outs=1),
    decoder=dict(detach_references=True, layer_cfg=dict(cross_attn_cfg=dict(instance_aware=False))),
    bbox_head=dict(
        layer_weights=None,
        aux_mask_layers=(),
        mask_head=dict(
            feature_channels=(1024, 512, 256),  # raw maps of the backbone
            num_attention_levels=1,
            deformable=False,
            temporal_conv=True,
            encoded_features=False,
        ),
    ),
    # VisTR's cue: the IoU of binary masks, frame by frame.
    tracker=dict(binary_masks=True, per_frame_iou=True, class_weight=0.0, score_weight=0.0),
    test_cfg=dict(max_per_clip=10),
)

small_train_pipeline = [
    dict(type='SampleClip'),
    dict(
        type='TransformBroadcaster',
        transforms=[dict(type='LoadFrame'), dict(type='LoadTrackAnnotations', with_mask=True)],
    ),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='RandomFlip', prob=0.5),
            dict(type='Resize', scale=(540, 300), keep_ratio=True),
            dict(type='PhotoMetricDistortion'),
            dict(type='RecomputeBoxesFromMasks'),
        ],
    ),
    {{_base_.pack_clip}},
]
small_test_pipeline = [
    dict(
        type='PackLazyVideo',
        frame_pipeline=[
            dict(type='LoadFrame'),
            dict(type='Resize', scale=(540, 300), keep_ratio=True),
        ],
    )
]
train_dataloader = dict(dataset=dict(pipeline=small_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=small_test_pipeline))
test_dataloader = val_dataloader

max_epochs = 10
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[3, 7], gamma=0.1)
]
