# Any data set in YouTube-VIS's format, with its own classes (read from the files). The folder comes
# from the environment: VIS_DATA=path/to/data python tools/train.py ...
_base_ = './clip_pipelines.py'

dataset_type = 'VISClipDataset'
data_root = '{{$VIS_DATA:data/my_videos/}}'

train_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='train.json',
        data_prefix=dict(img_path='JPEGImages'),
        num_frames=6,
        pipeline={{_base_.train_pipeline}},
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
        ann_file='val.json',
        data_prefix=dict(img_path='JPEGImages'),
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='VISMetric', metric='youtube_vis_ap')
test_evaluator = val_evaluator
