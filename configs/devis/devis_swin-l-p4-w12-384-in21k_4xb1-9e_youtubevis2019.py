# DeVIS on Swin-L, YouTube-VIS 2019 (published: 57.1 AP).
_base_ = ['./devis_r50_4xb1-9e_youtubevis2019.py', './_base_/swin-l.py']

model = dict(
    backbone={{_base_.swin_l}},
    neck=dict(in_channels=[384, 768, 1536]),
    bbox_head=dict(mask_head=dict(feature_channels=(256, 256, 192))),
)
custom_hooks = [
    dict(
        type='StartFromImageHook',
        checkpoint='work_dirs/deformable-mask-detr_swin-l-p4-w12-384-in21k_8xb2-24e_coco/epoch_24.pth',
    )
]
