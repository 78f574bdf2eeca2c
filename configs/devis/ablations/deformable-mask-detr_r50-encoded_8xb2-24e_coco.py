# Table 2, "+ Encoded feature maps". 25.0 mask AP.
_base_ = './deformable-mask-detr_r50-matched-only_8xb2-24e_coco.py'

model = dict(
    bbox_head=dict(mask_head=dict(feature_channels=(256, 256, 256), encoded_features=True))
)
