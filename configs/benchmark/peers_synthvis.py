# DeVIS beside MMDetection's video instance segmentation models: full protocol, for a GPU.
# Another one: name its config in `entries`, with what differs in the data.
_base_ = ['./_base_/synthvis.py', '../devis/_base_/mobilenetv2.py']

title = 'DeVIS beside Mask2Former-VIS and MaskTrack R-CNN on SynthVIS'
note = 'Full protocol.'
train_frames = 640_000
num_classes = 6

# One backbone for all, with the weights of MOBILENETV2, a checkpoint in MMDetection's layout.
backbone = {{_base_.mobilenetv2}}
channels = [24, 32, 96, 320]

# The heads are as wide and deep as the peers' and as the paper's DeVIS.
_dims = 256
_encoder = 'model.encoder.layer_cfg.'
_decoder = 'model.decoder.layer_cfg.'
_head = 'model.bbox_head.'
_devis = {
    'model.neck.out_channels': _dims,
    'model.positional_encoding.num_feats': _dims // 2,
    'model.encoder.num_layers': 6,
    'model.decoder.num_layers': 6,
    _encoder + 'self_attn_cfg.embed_dims': _dims,
    _encoder + 'ffn_cfg.embed_dims': _dims,
    _encoder + 'ffn_cfg.feedforward_channels': 1024,
    _decoder + 'self_attn_cfg.embed_dims': _dims,
    _decoder + 'cross_attn_cfg.embed_dims': _dims,
    _decoder + 'ffn_cfg.embed_dims': _dims,
    _decoder + 'ffn_cfg.feedforward_channels': 1024,
    _head + 'num_classes': num_classes,
    _head + 'embed_dims': _dims,
    _head + 'layer_weights': (1 / 30, 2 / 30, 3 / 30, 4 / 30, 5 / 30, 15 / 30),
    _head + 'mask_head.embed_dims': _dims,
    _head + 'mask_head.feature_channels': (_dims, _dims, channels[0]),
    _head + 'pixel_classifier.embed_dims': _dims,
    _head + 'pixel_classifier.num_classes': num_classes,
}

entries = dict(
    # The paper trains on single frames (of COCO) first; here they count as training frames.
    devis_images=dict(
        is_stage=True,
        config='configs/devis/devis_mobilenetv2_1xb8-1k-images_ytvis-style.py',
        batch_size=16,
        frames_per_sample=1,
        share=0.6,
        options=_devis,
    ),
    devis=dict(
        title='DeVIS (ours)',
        starts_from='devis_images',
        share=0.4,
        config='configs/devis/devis_mobilenetv2_1xb2-2k_ytvis-style.py',
        batch_size=4,
        frames_per_sample=4,
        lr_factors=[0.3, 1.0, 3.0],  # its config is made for training from a backbone only
        options=_devis,
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
