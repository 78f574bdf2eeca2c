# The paper's contributions one by one on SynthVIS, around the demo's model.
_base_ = './_base_/synthvis.py'

title = 'Ablation ladder on SynthVIS'
note = 'Every row changes one thing of the full model; training frames are the same.'
train_frames = 12_000
lr_factors = [1.0]  # of the full model, which all rows share
backbone = None  # that of the config

_config = 'configs/devis/devis_r18_1xb4-demo_synthvis.py'

# The paper's tracker: the demo's has more cues, which would hide what its own ones are worth.
_paper_tracker = {
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


def _row(title, frames=4, **options):
    # 16 frames an iteration, whatever the clip; clips overlap by half.
    return dict(
        title=title,
        config=_config,
        batch_size=max(1, 16 // frames),
        frames_per_sample=frames,
        options={
            'model.num_frames': frames,
            'model.num_queries': 10 * frames,
            'model.test_cfg.stride': max(1, frames // 2),
            'train_dataloader.dataset.num_frames': frames,
            **_paper_tracker,
            **{k.replace('__', '.'): v for k, v in options.items()},
        },
    )


_mask = 'model__bbox_head__mask_head__'
_raw = {_mask + 'feature_channels': (128, 64, 32), _mask + 'encoded_features': False}
_encoded = {_mask + 'feature_channels': (128, 128, 32)}
_plain = {_mask + 'deformable': False}
_one_level = {_mask + 'num_attention_levels': 1}


def _cues(title, score, label):
    options = {
        'model.tracker.score_weight': score,
        'model.tracker.class_weight': label,
        **_paper_tracker,
    }
    return dict(title=title, weights_of='full', options=options)


entries = dict(
    full=_row('full model'),
    ktemp0=_row(
        'K_temp 0',
        model__encoder__layer_cfg__self_attn_cfg__num_temporal_points=0,
        model__decoder__layer_cfg__cross_attn_cfg__num_temporal_points=0,
    ),
    clip1=_row('clips of 1 frame', frames=1),
    clip2=_row('clips of 2 frames', frames=2),
    clip6=_row('clips of 6 frames', frames=6),
    clip8=_row('clips of 8 frames', frames=8),
    not_instance_aware=_row(
        'not instance-aware', model__decoder__layer_cfg__cross_attn_cfg__instance_aware=False
    ),
    mask_baseline=_row('mask head: baseline', **_raw, **_plain, **_one_level),
    mask_encoded=_row('mask head: + encoded features', **_encoded, **_plain, **_one_level),
    mask_multi_scale=_row('mask head: + multi-scale maps', **_encoded, **_plain),
    no_aux_weights=_row('no auxiliary weights', model__bbox_head__layer_weights=None),
    cues_mask=_cues('tracking: mask', 0.0, 0.0),
    cues_mask_score=_cues('tracking: mask, score', 1.0, 0.0),
    cues_mask_class=_cues('tracking: mask, class', 0.0, 1.0),
    cues_all=_cues('tracking: mask, score, class', 1.0, 1.0),
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
    _pair('mask_encoded', 'mask_baseline', 'Encoded features help (Table 2, 23.7 to 25.0)'),
    _pair('mask_multi_scale', 'mask_encoded', 'Multi-scale maps help (Table 2, 25.0 to 29.2)'),
    _pair('full', 'mask_multi_scale', 'Modulated deformable convolutions help (Table 2, 31.1)'),
    _pair('cues_mask_score', 'cues_mask', 'The score cue helps (Table 5, 42.1 to 42.8)'),
    _pair('cues_mask_class', 'cues_mask', 'The class cue helps (Table 5, 42.1 to 43.1)'),
    _pair('cues_all', 'cues_mask_class', 'All cues are best (Table 5, 44.4)'),
    _pair('full', 'no_aux_weights', 'Auxiliary loss weights help (Table 1, 41.9 to 44.0)'),
]
