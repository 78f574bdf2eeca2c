# SynthVIS, made by tools/dataset_converters/make_synthvis.py. Classes are read from the files.
_base_ = '../devis_r50.py'

dataset_type = 'VISClipDataset'
data_root = 'data/synthvis/'

# The pictures are small: they keep their size.
train_pipeline = [
    dict(type='SampleClip'),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadFrame'),
            dict(type='LoadTrackAnnotations', with_mask=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='RecomputeBoxesFromMasks'),
        ],
    ),
    dict(
        type='PackTrackInputs',
        default_meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'flip',
            'flip_direction',
            'frame_id',
            'video_id',
            'video_length',
            'ori_video_length',
        ),
    ),
]
test_pipeline = [dict(type='PackLazyVideo', frame_pipeline=[dict(type='LoadFrame')])]

train_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/train.json',
        data_prefix=dict(img_path='train/JPEGImages'),
        num_frames=6,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=0,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/valid.json',
        data_prefix=dict(img_path='valid/JPEGImages'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='VISMetric', metric='youtube_vis_ap')
test_evaluator = val_evaluator
custom_hooks = []  # trained from scratch, without the COCO stage
