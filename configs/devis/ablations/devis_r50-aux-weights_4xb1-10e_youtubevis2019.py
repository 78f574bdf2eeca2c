# Table 1, "+ Auxiliary loss weighting": the final model, with 10 instances per clip. 44.0 AP.
_base_ = './devis_r50-multi-cue_4xb1-10e_youtubevis2019.py'

model = dict(
    bbox_head=dict(
        layer_weights=(1 / 30, 2 / 30, 3 / 30, 4 / 30, 5 / 30, 15 / 30),
        loss_mask=dict(loss_weight=1.0),
        loss_dice=dict(loss_weight=1.0),
    )
)
