# DeVIS beside MMDetection's video instance segmentation models: full protocol, for a GPU.
# Another one: name its config in `entries`, with what differs in the data.
_base_ = './_base_/synthvis.py'

title = 'DeVIS beside Mask2Former-VIS and MaskTrack R-CNN on SynthVIS'
note = 'Full protocol.'
train_frames = 640_000
num_classes = 6

# One backbone for all, with the same weights at the start for the same seed.
backbone = dict(
    type='ResNet',
    depth=18,
    base_channels=32,
    num_stages=4,
    out_indices=(0, 1, 2, 3),
    frozen_stages=-1,
    norm_cfg=dict(type='BN', requires_grad=True),
    norm_eval=False,
    style='pytorch',
    zero_init_residual=False,
    init_cfg=None,
)
channels = [32, 64, 128, 256]

entries = dict(
    devis=dict(
        title='DeVIS (ours)',
        config='configs/devis/devis_r18_1xb4-demo_synthvis.py',
        batch_size=4,
        frames_per_sample=4,
        lr_factors=[0.3, 1.0, 3.0],  # its config is made for training from scratch
    ),
    mask2former=dict(
        title='Mask2Former-VIS',
        config='mmdet::mask2former_vis/mask2former_r50_8xb2-8e_youtubevis2019.py',
        batch_size=8,
        frames_per_sample=2,
        options={
            'model.init_cfg': None,
            'model.track_head.in_channels': channels,
            'model.track_head.num_classes': num_classes,
            'model.track_head.loss_cls.class_weight': [1.0] * num_classes + [0.1],
            'model.track_head.num_queries': 20,
        },
    ),
    masktrack_rcnn=dict(
        title='MaskTrack R-CNN',
        config='mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py',
        batch_size=8,
        frames_per_sample=2,
        backbone_at='model.detector.backbone',
        options={
            'model.detector.init_cfg': None,
            'model.detector.neck.in_channels': channels,
            'model.detector.roi_head.bbox_head.num_classes': num_classes,
            'model.detector.roi_head.mask_head.num_classes': num_classes,
        },
    ),
)
