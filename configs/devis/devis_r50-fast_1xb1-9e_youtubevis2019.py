# DeVIS for one small GPU: 3 frames at a time, smaller inputs, mixed precision, layers recomputed in
# the backward pass, gradients of 4 clips added up (the recipe's batch).
_base_ = './devis_r50_4xb1-9e_youtubevis2019.py'

model = dict(
    num_frames=3,
    num_queries=30,
    encoder=dict(with_cp=True),
    decoder=dict(with_cp=True),
    bbox_head=dict(mask_head=dict(with_cp=True)),
    test_cfg=dict(stride=1),
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
            dict(
                type='RandomChoiceResize',
                scales=[(s, 512) for s in (192, 224, 256, 288)],
                keep_ratio=True,
            ),
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
            dict(type='Resize', scale=(480, 270), keep_ratio=True),
        ],
    )
]
train_dataloader = dict(dataset=dict(num_frames=3, pipeline=small_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=small_test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic', accumulative_counts=4)
