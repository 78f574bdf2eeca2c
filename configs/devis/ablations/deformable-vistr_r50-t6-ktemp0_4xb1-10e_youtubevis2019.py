# Table 1: without attention between frames. 32.4 AP.
_base_ = './deformable-vistr_r50-t6_4xb1-10e_youtubevis2019.py'

model = dict(
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_temporal_points=0))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_temporal_points=0))),
)
