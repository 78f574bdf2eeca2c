# Table 1: full attention to all pixels of all frames, as VisTR. 36.1 AP. VisTR's own schedule is
# longer (350 GPU hours), and it has no box refinement.
_base_ = './deformable-vistr_r50-t36_4xb1-10e_youtubevis2019.py'

model = dict(
    encoder=dict(
        layer_cfg=dict(self_attn_cfg=dict(_delete_=True, type='ClipFullAttention', embed_dims=256))
    ),
    decoder=dict(
        layer_cfg=dict(cross_attn_cfg=dict(_delete_=True, type='ClipFullAttention', embed_dims=256))
    ),
)
