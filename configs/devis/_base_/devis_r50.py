# Video model with the settings shared by all final recipes (paper Sec. 4.1, appendix).
_base_ = './deformable-mask-detr_r50.py'

model = dict(
    type='DeVIS',
    num_frames=6,
    num_queries=60,  # of the whole clip: 10 trajectories
    ignore_padding=True,  # clips of a batch have different sizes
    data_preprocessor=dict(type='ClipDataPreprocessor'),
    # Gradients flow through the box refinement.
    decoder=dict(detach_references=False),
    positional_encoding=dict(temporal='learned'),
    bbox_head=dict(
        type='DeVISHead',
        num_classes=40,
        loss_mask=dict(loss_weight=1.0),
        loss_dice=dict(loss_weight=1.0),
        # Later decoder layers count more.
        layer_weights=(1 / 30, 2 / 30, 3 / 30, 4 / 30, 5 / 30, 15 / 30),
    ),
    train_cfg=dict(
        assigner=dict(
            match_costs=[
                dict(type='FocalLossCost', weight=1.0),
                # The release averages over the four coordinates, MMDetection sums: 5 / 4.
                dict(type='BBoxL1Cost', weight=1.25, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ]
        )
    ),
    test_cfg=dict(_delete_=True, max_per_clip=20, stride=4),
    tracker=dict(
        type='MultiCueClipTracker',
        mask_weight=1.0,
        class_weight=1.0,
        score_weight=1.0,
        center_weight=0.0,
        binary_masks=False,
        per_frame_iou=False,
    ),
)

# Draws with `default_hooks.visualization.draw=True`, and for tools/test.py --show-dir.
default_hooks = dict(visualization=dict(type='VISVisualizationHook'))

# Paper, appendix A: 1e-5 for the backbone (x 0.1, from MMDetection's config, as are the factors of
# sampling offsets and reference points), 1e-4 for the rest, one clip on each of 4 GPUs.
optim_wrapper = dict(optimizer=dict(lr=1e-4))
auto_scale_lr = dict(base_batch_size=4)

# The video model starts from the image model of the COCO stage, see docs/parity.md. Another
# checkpoint can be given as `load_from`.
custom_hooks = [
    dict(
        type='StartFromImageHook',
        checkpoint='work_dirs/deformable-mask-detr_r50_8xb2-24e_coco/epoch_24.pth',
    )
]
