# The same models, budget and options on composites of real objects, for whoever has such a set in
# YouTube-VIS's layout: name its folder with `--set data.source=FOLDER`.
_base_ = './peers_synthvis-cpu.py'

title = 'DeVIS beside Mask2Former-VIS and MaskTrack R-CNN on composites of real objects'
note = (
    'Scaled down for two CPU cores: the models and training frames of the SynthVIS table, frames '
    'resized to 160 x 90, and for each model the learning rate that was best there.'
)

data = dict(
    _delete_=True,
    root='data/benchmark/davis_paste',
    source='../shared/data/davis_paste',
    annotations=dict(train='train.json', test='val.json'),
    frames='JPEGImages',
    valid=24,  # held out of train; chooses the learning rate where `lr_factors` has several
    settings=dict(size=(90, 160)),
    subsets={},
)

num_classes = 7
_devis = {
    'model.bbox_head.num_classes': num_classes,
    'model.bbox_head.pixel_classifier.num_classes': num_classes,
}
_track_head = 'model.track_head'
_roi_head = 'model.detector.roi_head'
entries = dict(
    devis_images=dict(options=_devis),
    devis=dict(options=_devis, lr_factors=[1.0]),
    mask2former=dict(
        lr_factors=[10.0],
        options={
            f'{_track_head}.num_classes': num_classes,
            f'{_track_head}.loss_cls.class_weight': [1.0] * num_classes + [0.1],
        },
    ),
    masktrack_rcnn=dict(
        lr_factors=[1.0],
        options={
            f'{_roi_head}.bbox_head.num_classes': num_classes,
            f'{_roi_head}.mask_head.num_classes': num_classes,
        },
    ),
)
