# DeVIS on YouTube-VIS 2021, trained together with pseudo clips of COCO images.
_base_ = './_base_/datasets/youtube_vis_2021_coco.py'

model = dict(num_queries=180, test_cfg=dict(max_per_clip=30))

max_epochs = 10
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[4, 8], gamma=0.1)
]
