# COCO stage on Swin-L (published: 45.2 mask AP).
_base_ = ['./deformable-mask-detr_r50_8xb2-24e_coco.py', './_base_/swin-l.py']

model = dict(
    backbone={{_base_.swin_l}},
    neck=dict(in_channels=[384, 768, 1536]),
    bbox_head=dict(mask_head=dict(feature_channels=(256, 256, 192))),
)

# MMDetection has no Deformable DETR on this backbone: give one as `load_from`, or train longer.
load_from = None
