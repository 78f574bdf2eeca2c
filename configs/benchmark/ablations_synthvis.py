# The paper's contributions one by one on SynthVIS, on the data and the backbone of the CPU's table.
_base_ = ['./peers_synthvis-cpu.py', '../devis/_base_/motion_tracker.py']

title = 'Ablation ladder on SynthVIS'
note = (
    'Every row changes one thing of the full model; training frames are the same. Rows start from '
    'one stage on single frames per seed and mask head, as the paper starts from one COCO stage.'
)
data = dict(subsets=dict(_delete_=True))  # only the main test set: half the time
lr_factors = [0.3]  # no sweep: 0.3, 1 and 3 score within 0.03 in the table of peers

_config = 'configs/devis/devis_mobilenetv2_1xb2-2k_ytvis-style.py'
_image_config = 'configs/devis/devis_mobilenetv2_1xb8-1k-images_ytvis-style.py'
_classes = {
    'model.bbox_head.num_classes': 3,
    'model.bbox_head.pixel_classifier.num_classes': 3,
}

# The paper's tracker: ours has more cues, which would hide what its own ones are worth.
_paper_tracker = {
    'model.tracker.mask_weight': 1.0,
    'model.tracker.class_weight': 1.0,
    'model.tracker.score_weight': 1.0,
    'model.tracker.duplicate_iou': None,
    'model.tracker.motion_weight': 0.0,
    'model.tracker.confidence_weight': 0.0,
    'model.tracker.untangle_margin': None,
    'model.tracker.match_threshold': None,
    'model.tracker.reid_window': 0,
    'model.tracker.birth_threshold': 0.0,
    'model.tracker.min_frame_score': 0.001,
    'model.tracker.final_class_policy': 'most_common',
}


def _stage(options):
    return dict(
        is_stage=True,
        config=_image_config,
        batch_size=8,
        frames_per_sample=1,
        share=0.6,
        options={**_classes, **options},
    )


def _row(title, options, frames=4, stage='images'):
    # 8 frames an iteration, 6 with clips of 6: a third more iterations. Clips have two frames in
    # common where they are long enough, as the paper keeps the overlap constant (appendix B).
    return dict(
        title=title,
        starts_from=stage,
        share=0.4,
        config=_config,
        batch_size=max(1, 8 // frames),
        frames_per_sample=frames,
        options={
            **_classes,
            'model.num_frames': frames,
            'model.num_queries': 10 * frames,
            'model.test_cfg.stride': max(1, frames - 2),
            'train_dataloader.dataset.num_frames': frames,
            **_paper_tracker,
            **options,
        },
    )


_mask = 'model.bbox_head.mask_head.'
_encoder = 'model.encoder.layer_cfg.self_attn_cfg.'
_decoder = 'model.decoder.layer_cfg.cross_attn_cfg.'
# The baseline's mask head reads the backbone's maps of strides 16, 8 and 4, each later row one more
# of the head's parts.
_raw = {_mask + 'feature_channels': (96, 32, 24), _mask + 'encoded_features': False}
_plain = {_mask + 'deformable': False}
_one_level = {_mask + 'num_attention_levels': 1}
_baseline = {**_raw, **_plain, **_one_level}
_encoded = {**_plain, **_one_level}


def _cues(title, score, label):
    options = {
        **_paper_tracker,
        'model.tracker.score_weight': score,
        'model.tracker.class_weight': label,
    }
    return dict(title=title, weights_of='full', options=options)


entries = dict(
    _delete_=True,
    images=_stage({}),
    images_mask_baseline=_stage(_baseline),
    images_mask_encoded=_stage(_encoded),
    images_mask_multi_scale=_stage(_plain),
    full=_row('full model', {}),
    ktemp0=_row(
        'K_temp 0', {_encoder + 'num_temporal_points': 0, _decoder + 'num_temporal_points': 0}
    ),
    # Clips of one frame share none: re-identification from frame to frame joins them, and as in
    # the other rows every pair may be joined, whatever it costs.
    clip1=_row(
        'clips of 1 frame',
        {'model.tracker.reid_window': 1, 'model.tracker.reid_threshold': 10.0},
        frames=1,
    ),
    clip2=_row('clips of 2 frames', {}, frames=2),
    clip6=_row('clips of 6 frames (6 an iteration, others 8)', {}, frames=6),
    clip8=_row('clips of 8 frames', {}, frames=8),
    not_instance_aware=_row('not instance-aware', {_decoder + 'instance_aware': False}),
    mask_baseline=_row('mask head: baseline', _baseline, stage='images_mask_baseline'),
    mask_encoded=_row('mask head: + encoded features', _encoded, stage='images_mask_encoded'),
    mask_multi_scale=_row('mask head: + multi-scale maps', _plain, stage='images_mask_multi_scale'),
    no_aux_weights=_row('no auxiliary weights', {'model.bbox_head.layer_weights': None}),
    cues_mask=_cues('tracking: mask', 0.0, 0.0),
    cues_mask_score=_cues('tracking: mask, score', 1.0, 0.0),
    cues_mask_class=_cues('tracking: mask, class', 0.0, 1.0),  # all three: the full model
)

# The same weights with our tracker: where the paper's loses most of the AP between clips, it
# hides what models are worth.
_trained = [e for e, row in entries.items() if isinstance(row, dict) and 'starts_from' in row]
entries.update(
    {
        f'{row}_ours': dict(
            title=f'{entries[row]["title"]}, our tracker',
            weights_of=row,
            options={'model.tracker': {{_base_.motion_tracker}}},
        )
        for row in _trained
    }
)


def _pair(better, worse, claim):
    return dict(better=better, worse=worse, claim=claim)


comparisons = [
    _pair('full', 'ktemp0', 'Attention between frames helps (Table A.2, 41.2 to 44.4 AP)'),
    _pair('clip2', 'clip1', 'Clips of 2 frames are better than single frames'),
    _pair('full', 'clip2', 'Clips of 4 frames are better than of 2'),
    _pair('clip6', 'full', 'Clips of 6 frames are better than of 4'),
    _pair('clip6', 'clip8', 'Clips of 6 frames are better than of 8'),
    _pair('full', 'not_instance_aware', 'Instance-aware queries help (Table 1, 35.9 to 37.0)'),
    _pair('mask_encoded', 'mask_baseline', 'Encoded features help (Table 2, 24.5 to 25.0)'),
    _pair('mask_multi_scale', 'mask_encoded', 'Multi-scale maps help (Table 2, 25.0 to 29.2)'),
    _pair('full', 'mask_multi_scale', 'Modulated deformable convolutions help (Table 2, 31.1)'),
    _pair('cues_mask_score', 'cues_mask', 'The score cue helps (Table 5, 42.1 to 42.8)'),
    _pair('cues_mask_class', 'cues_mask', 'The class cue helps (Table 5, 42.1 to 43.1)'),
    _pair('full', 'cues_mask_class', 'All cues are better than two (Table 5, 43.1 to 44.4)'),
    _pair('full', 'no_aux_weights', 'Auxiliary loss weights help (Table 1, 41.9 to 44.0)'),
]
comparisons += [
    dict(
        better=f'{pair["better"]}_ours',
        worse=f'{pair["worse"]}_ours',
        claim=f'With our tracker: {pair["claim"]}',
    )
    for pair in comparisons
    if {pair['better'], pair['worse']} <= set(_trained)
]
