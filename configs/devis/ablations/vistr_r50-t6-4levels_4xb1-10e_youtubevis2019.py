# Table 1: full attention over four levels of 6 frames. The paper's ran out of memory.
_base_ = './devis_r50-spatial-inputs_4xb1-10e_youtubevis2019.py'

model = dict(
    encoder=dict(
        layer_cfg=dict(self_attn_cfg=dict(_delete_=True, type='ClipFullAttention', embed_dims=256))
    ),
    decoder=dict(
        layer_cfg=dict(cross_attn_cfg=dict(_delete_=True, type='ClipFullAttention', embed_dims=256))
    ),
)
