# Table 2, "+ Multi-scale attention maps". 29.2 mask AP.
_base_ = './deformable-mask-detr_r50-encoded_8xb2-24e_coco.py'

model = dict(bbox_head=dict(mask_head=dict(num_attention_levels=3)))
