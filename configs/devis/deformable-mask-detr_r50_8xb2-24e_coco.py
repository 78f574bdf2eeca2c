# COCO stage (paper Sec. 4.1): detector and mask head end to end, from Deformable DETR with box
# refinement. The class head stays as it is.
_base_ = './_base_/datasets/coco_instance.py'

model = dict(frozen_parts=('bbox_head.cls_branches',))

load_from = 'https://download.openmmlab.com/mmdetection/v3.0/deformable_detr/deformable-detr-refine_r50_16xb2-50e_coco/deformable-detr-refine_r50_16xb2-50e_coco_20221022_225303-844e0f93.pth'

optim_wrapper = dict(
    optimizer=dict(lr=2e-5),
    paramwise_cfg=dict(
        custom_keys={
            'backbone': dict(lr_mult=0.5),
            'neck': dict(lr_mult=0.5),
            'mask_head': dict(lr_mult=10.0),
        }
    ),
)
auto_scale_lr = dict(base_batch_size=16)

max_epochs = 24
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[15], gamma=0.1)
]
