# Table 1: whole videos, without attention between frames. 35.3 AP.
_base_ = './deformable-vistr_r50-t36_4xb1-10e_youtubevis2019.py'

model = dict(
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_temporal_points=0))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_temporal_points=0))),
)
