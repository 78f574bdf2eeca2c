# Image model: MMDetection's Deformable DETR with box refinement plus the mask head of the paper.
_base_ = 'mmdet::deformable_detr/deformable-detr-refine_r50_16xb2-50e_coco.py'

custom_imports = dict(imports=['mmdevis'], allow_failed_imports=False)

model = dict(
    type='DeformableMaskDETR',
    data_preprocessor=dict(pad_mask=True),
    # The mask head reads the stride-4 map, which the transformer does not.
    backbone=dict(out_indices=(0, 1, 2, 3)),
    neck=dict(bias=True),
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_points=4, num_temporal_points=4))),
    decoder=dict(
        detach_references=True,
        layer_cfg=dict(
            cross_attn_cfg=dict(num_points=4, num_temporal_points=4, instance_aware=True)
        ),
    ),
    positional_encoding=dict(offset=0.0),
    bbox_head=dict(
        type='DeformableMaskDETRHead',
        mask_head=dict(
            type='MultiScaleDeformMaskHead',
            embed_dims=256,
            num_heads=8,
            feature_channels=(256, 256, 256),
            num_attention_levels=3,
            deformable=True,
            encoded_features=True,
            temporal_conv=False,
        ),
        # The release adds 1e-6 to both denominators.
        loss_iou=dict(type='OffsetGIoULoss', eps=1e-6),
        loss_mask=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=8.0),
        loss_dice=dict(type='DiceLoss', naive_dice=True, eps=1.0, loss_weight=8.0),
        aux_mask_layers=(2,),
        only_matched_masks=True,
    ),
    train_cfg=dict(assigner=dict(type='ClipHungarianAssigner')),
    test_cfg=dict(_delete_=True, max_per_img=50),
)

# Resuming goes on where the run stopped, also in the middle of an epoch; no kill leaves a broken
# checkpoint.
train_cfg = dict(type='ReproducibleEpochLoop')
default_hooks = dict(
    logger=dict(type='MainProcessLoggerHook'),
    checkpoint=dict(max_keep_ckpts=2, backend_args=dict(backend='atomic_local')),
    progress=dict(type='ProgressBarHook'),
    loss_curve=dict(type='LossCurveHook'),
)
