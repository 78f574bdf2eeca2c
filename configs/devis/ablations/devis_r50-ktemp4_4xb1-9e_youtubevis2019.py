# Table A.2: 4 sampling points on each other frame, as in the final model. 44.4 AP.
_base_ = '../devis_r50_4xb1-9e_youtubevis2019.py'

model = dict(
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_temporal_points=4))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_temporal_points=4))),
)
