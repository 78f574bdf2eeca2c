# Table 2, first row: DETR's mask head on Deformable DETR, which stays as it is. 23.7 mask AP.
_base_ = '../deformable-mask-detr_r50_8xb2-24e_coco.py'

model = dict(
    frozen_parts=(
        'backbone',
        'neck',
        'encoder',
        'decoder',
        'level_embed',
        'query_embedding',
        'reference_points_fc',
        'bbox_head.cls_branches',
        'bbox_head.reg_branches',
    ),
    bbox_head=dict(
        aux_mask_layers=(),
        only_matched_masks=False,
        mask_head=dict(
            feature_channels=(1024, 512, 256),  # raw maps of the backbone
            num_attention_levels=1,
            deformable=False,
            encoded_features=False,
        ),
        loss_mask=dict(loss_weight=1.0),
        loss_dice=dict(loss_weight=1.0),
    ),
)
