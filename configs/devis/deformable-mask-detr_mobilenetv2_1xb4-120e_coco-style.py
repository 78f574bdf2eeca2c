# COCO stage on MobileNetV2, for small sets of images in COCO's format:
#   COCO_DATA=path/to/data/ MOBILENETV2=path/to/weights.pth python tools/train.py THIS_FILE
# COCO_DATA holds annotations.json and images/ (other names: COCO_ANN, COCO_IMAGES); MOBILENETV2 is
# an ImageNet checkpoint in MMDetection's layout (leave it out to train from scratch). For classes
# of your own set both `num_classes`, and `metainfo` of both data sets. Training and evaluation
# see the same images, so AP says how well these are learnt and nothing about others.
# `devis_mobilenetv2_*_ytvis-style.py` can start from the result.
_base_ = ['./_base_/datasets/coco_instance.py', './_base_/mobilenetv2.py']

data_root = '{{$COCO_DATA:data/my_images/}}'
ann_file = '{{$COCO_ANN:annotations.json}}'
image_folder = '{{$COCO_IMAGES:images/}}'
dims = 128

model = dict(
    num_queries=60,
    num_feature_levels=3,
    ignore_padding=True,
    backbone={{_base_.mobilenetv2}},
    neck=dict(in_channels=[32, 96, 320], out_channels=dims, num_outs=3),
    encoder={{_base_.small_encoder}},
    decoder={{_base_.small_decoder}},
    positional_encoding=dict(num_feats=dims // 2),
    bbox_head=dict(
        embed_dims=dims,
        mask_head=dict(embed_dims=dims, feature_channels=(dims, dims, 24), unit_attention=True),
        # From scratch and in minutes: every pixel teaches the encoder.
        pixel_classifier=dict(
            type='PixelClassifier', embed_dims=dims, num_classes=80, loss_weight=2.0
        ),
        aux_mask_layers=(),
    ),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(192, 192), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(192, 192), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        # With `instances`, the ground truth that the metric reads where it has no `ann_file`.
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances'),
    ),
]
images = dict(data_root=data_root, ann_file=ann_file, data_prefix=dict(img=image_folder))
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    batch_sampler=None,
    dataset=dict(**images, pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(**images, pipeline=test_pipeline)
)
test_dataloader = val_dataloader
# Without `ann_file` the images that were predicted count, also with `dataset.indices`.
val_evaluator = dict(ann_file=None)
test_evaluator = val_evaluator

max_epochs = 120
train_cfg = dict(max_epochs=max_epochs, val_interval=20)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3),
    clip_grad=dict(max_norm=0.5, norm_type=2),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.2)}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', by_epoch=True, begin=0, end=max_epochs, convert_to_iter_based=True
    ),
]
default_hooks = dict(logger=dict(interval=4), checkpoint=dict(interval=20))
