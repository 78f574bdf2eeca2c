# Table 2, "+ MDC". 31.1 mask AP.
_base_ = './deformable-mask-detr_r50-multi-scale_8xb2-24e_coco.py'

model = dict(bbox_head=dict(mask_head=dict(deformable=True)))
