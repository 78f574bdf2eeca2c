# Table 3: no attention between frames. 19.7 AP.
_base_ = '../devis_r50_4xb1-12e_ovis.py'

model = dict(
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_temporal_points=0))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_temporal_points=0))),
)
