# Table 1, "+ Multi-cue clip tracking". 41.9 AP.
# Needs no training: test the weights of the base config with this one.
_base_ = './devis_r50-mask-head_4xb1-10e_youtubevis2019.py'

model = dict(
    tracker=dict(binary_masks=False, per_frame_iou=False, class_weight=1.0, score_weight=1.0)
)
