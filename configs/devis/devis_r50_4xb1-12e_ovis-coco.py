# DeVIS on OVIS, trained together with pseudo clips of COCO images.
_base_ = './_base_/datasets/ovis_coco.py'

model = dict(num_queries=180, tracker=dict(center_weight=1.0), test_cfg=dict(max_per_clip=30))

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[6, 10], gamma=0.1)
]
