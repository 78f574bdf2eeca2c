# Table 2, "+ Train only positive matches". 24.5 mask AP.
_base_ = './deformable-mask-detr_r50-detr-head_8xb2-24e_coco.py'

model = dict(bbox_head=dict(only_matched_masks=True))
