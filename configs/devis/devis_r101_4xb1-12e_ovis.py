# DeVIS on ResNet-101, OVIS.
_base_ = './devis_r50_4xb1-12e_ovis.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
custom_hooks = [
    dict(
        type='StartFromImageHook',
        checkpoint='work_dirs/deformable-mask-detr_r101_8xb2-24e_coco/epoch_24.pth',
    )
]
