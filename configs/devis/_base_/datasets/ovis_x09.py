# OVIS with all training sizes scaled by 0.9, for Swin-L, which needs the memory.
_base_ = './ovis.py'

augmentation = [
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[dict(type='RandomFlip', prob=0.5)],
    ),
    dict(
        type='RandomChoice',
        transforms=[
            [
                dict(
                    type='TransformBroadcaster',
                    share_random_params=True,
                    transforms=[
                        dict(
                            type='RandomChoiceResize',
                            scales=[
                                (int(s * 0.9), 691)
                                for s in (288, 320, 352, 392, 416, 448, 480, 512)
                            ],
                            keep_ratio=True,
                        )
                    ],
                )
            ],
            [
                dict(
                    type='TransformBroadcaster',
                    share_random_params=True,
                    transforms=[
                        dict(
                            type='RandomChoiceResize',
                            # The long side is not limited.
                            scales=[(int(s * 0.9), 10000) for s in (400, 500, 600)],
                            keep_ratio=True,
                        ),
                        dict(
                            type='RandomCrop',
                            crop_type='absolute_range',
                            crop_size=(345, 540),
                            allow_negative_crop=True,
                        ),
                        dict(
                            type='RandomChoiceResize',
                            scales=[
                                (int(s * 0.9), 691)
                                for s in (288, 320, 352, 392, 416, 448, 480, 512)
                            ],
                            keep_ratio=True,
                        ),
                    ],
                )
            ],
        ],
    ),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='PhotoMetricDistortion'),
            dict(type='RecomputeBoxesFromMasks'),
        ],
    ),
    {{_base_.pack_clip}},
]

train_pipeline = [
    dict(type='SampleClip'),
    dict(
        type='TransformBroadcaster',
        transforms=[dict(type='LoadFrame'), dict(type='LoadTrackAnnotations', with_mask=True)],
    ),
    *augmentation,
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
