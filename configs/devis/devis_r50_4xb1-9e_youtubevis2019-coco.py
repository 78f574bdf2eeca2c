# DeVIS on YouTube-VIS 2019, trained together with pseudo clips of COCO images.
_base_ = './_base_/datasets/youtube_vis_2019_coco.py'

max_epochs = 9
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[3, 7], gamma=0.1)
]
