# YouTube-VIS 2021: 2985 training and 421 validation videos, 40 classes.
_base_ = './clip_pipelines.py'

dataset_type = 'YouTubeVISClipDataset'
data_root = 'data/youtube_vis_2021/'

train_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        dataset_version='2021',
        data_root=data_root,
        ann_file='train/instances.json',
        data_prefix=dict(img_path='train/JPEGImages'),
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
        dataset_version='2021',
        data_root=data_root,
        ann_file='valid/instances.json',
        data_prefix=dict(img_path='valid/JPEGImages'),
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    ),
)
test_dataloader = val_dataloader
# The annotations are not public: testing writes the file to submit. For local numbers see
# tools/dataset_converters/split_minival.py.
val_evaluator = dict(
    _delete_=True,
    type='VISMetric',
    metric='youtube_vis_ap',
    outfile_prefix='./work_dirs/youtube_vis_2021/results',
    format_only=True,
)
test_evaluator = val_evaluator
