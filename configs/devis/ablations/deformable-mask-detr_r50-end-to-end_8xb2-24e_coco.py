# Table 2, "+ End-to-end training": the final image model. 38.0 mask AP.
_base_ = './deformable-mask-detr_r50-mdc_8xb2-24e_coco.py'

model = dict(
    frozen_parts=('bbox_head.cls_branches',),
    bbox_head=dict(
        aux_mask_layers=(2,), loss_mask=dict(loss_weight=8.0), loss_dice=dict(loss_weight=8.0)
    ),
)
