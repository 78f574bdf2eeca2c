# Joint training: clips of YouTube-VIS 2021 and pseudo clips of COCO images, with the categories
# mapped by name.
_base_ = './youtube_vis_2021.py'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            {{_base_.train_dataloader.dataset}},
            dict(
                type='CocoPseudoClipDataset',
                classes='youtube_vis_2021',
                num_frames=6,
                data_root='data/coco/',
                ann_file='annotations/instances_train2017.json',
                data_prefix=dict(img_path='train2017'),
                pipeline={{_base_.pseudo_clip_pipeline}},
            ),
        ],
    )
)
