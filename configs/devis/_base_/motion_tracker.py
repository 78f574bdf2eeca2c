# A tracker for models that learned for minutes, and for videos in which look-alikes cross and
# objects hide: cues that the paper does not have, taken as `tracker={{_base_.motion_tracker}}`.
# docs/benchmarks/tracker.md has what each is worth.
motion_tracker = dict(
    mask_weight=0.5,
    class_weight=2.0,
    score_weight=0.0,
    duplicate_iou=0.5,
    motion_weight=0.5,
    match_threshold=-0.5,
    confidence_weight=2.0,
    untangle_margin=0.1,
    reid_window=8,
    reid_threshold=-0.3,
    birth_threshold=0.2,
    min_frame_score=0.1,
    final_class_policy='score_weighted',
)
