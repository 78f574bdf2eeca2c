# Augmentation of the final recipes (the same draw for all frames of a clip) and the test pipeline.
#
# `RandomChoice` stands around the broadcasters, not inside one: mmcv's sharing of random parameters
# rejects it there once MMDetection is imported. Colours change last, on the smaller image, which
# is the same up to rounding and several times faster.
_base_ = '../devis_r50.py'

pack_clip = dict(
    type='PackTrackInputs',
    # Without `instances`: the encoded masks would travel beside the decoded ones.
    default_meta_keys=(
        'img_id',
        'img_path',
        'ori_shape',
        'img_shape',
        'scale_factor',
        'flip',
        'flip_direction',
        'frame_id',
        'video_id',
        'video_length',
        'ori_video_length',
    ),
)

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
                            scales=[(s, 768) for s in (288, 320, 352, 392, 416, 448, 480, 512)],
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
                            scales=[(s, 10000) for s in (400, 500, 600)],
                            keep_ratio=True,
                        ),
                        dict(
                            type='RandomCrop',
                            crop_type='absolute_range',
                            crop_size=(384, 600),
                            allow_negative_crop=True,
                        ),
                        dict(
                            type='RandomChoiceResize',
                            scales=[(s, 768) for s in (288, 320, 352, 392, 416, 448, 480, 512)],
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
    pack_clip,
]

train_pipeline = [
    dict(type='SampleClip'),
    dict(
        type='TransformBroadcaster',
        transforms=[dict(type='LoadFrame'), dict(type='LoadTrackAnnotations', with_mask=True)],
    ),
    *augmentation,
]

# Clips made of still images, for joint training with COCO.
pseudo_clip_pipeline = [
    dict(type='LoadFrame'),
    dict(type='LoadTrackAnnotations', with_mask=True),
    dict(type='ImageToClip'),
    *augmentation,
]

# Frames are decoded one by one while the model asks for them.
test_pipeline = [
    dict(
        type='PackLazyVideo',
        frame_pipeline=[
            dict(type='LoadFrame'),
            dict(type='Resize', scale=(640, 360), keep_ratio=True),
        ],
    )
]
