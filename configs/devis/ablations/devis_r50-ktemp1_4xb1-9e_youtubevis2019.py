# Table A.2: 1 sampling point on each other frame. 41.2 AP.
_base_ = '../devis_r50_4xb1-9e_youtubevis2019.py'

model = dict(
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_temporal_points=1))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_temporal_points=1))),
)
