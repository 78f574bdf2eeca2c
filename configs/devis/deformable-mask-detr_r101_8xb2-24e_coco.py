# COCO stage on ResNet-101 (published: 39.9 mask AP).
_base_ = './deformable-mask-detr_r50_8xb2-24e_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))

# MMDetection has no Deformable DETR on this backbone: give one as `load_from`, or train longer.
load_from = None
