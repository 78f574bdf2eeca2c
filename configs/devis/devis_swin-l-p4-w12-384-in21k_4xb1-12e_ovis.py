# DeVIS on Swin-L, OVIS at 0.9 of the size, which saves memory (published: 35.5 AP).
_base_ = ['./_base_/datasets/ovis_x09.py', './_base_/swin-l.py']

model = dict(
    backbone={{_base_.swin_l}},
    neck=dict(in_channels=[384, 768, 1536]),
    bbox_head=dict(mask_head=dict(feature_channels=(256, 256, 192))),
    num_queries=180,
    tracker=dict(center_weight=1.0),
    test_cfg=dict(max_per_clip=30),
)
custom_hooks = [
    dict(
        type='StartFromImageHook',
        checkpoint='work_dirs/deformable-mask-detr_swin-l-p4-w12-384-in21k_8xb2-24e_coco/epoch_24.pth',
    )
]

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[6, 10], gamma=0.1)
]
