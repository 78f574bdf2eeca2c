# Table 1, "+ Instance-aware object queries". 37.0 AP. From here on gradients flow through the
# references, which other frames' queries now depend on.
_base_ = './devis_r50-spatial-inputs_4xb1-10e_youtubevis2019.py'

model = dict(
    decoder=dict(detach_references=False, layer_cfg=dict(cross_attn_cfg=dict(instance_aware=True)))
)
