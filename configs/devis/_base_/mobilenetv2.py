# MobileNetV2 and a small transformer, for small data sets. MOBILENETV2 is an ImageNet checkpoint in
# MMDetection's layout. A config takes them as `backbone={{_base_.mobilenetv2}}` and so on.
backbone_weights = '{{$MOBILENETV2:none}}'  # MMEngine knows no empty default
mobilenetv2 = dict(
    _delete_=True,
    type='MobileNetV2',
    out_indices=(1, 2, 4, 6),  # strides 4, 8, 16, 32
    norm_eval=True,
    init_cfg=None
    if backbone_weights == 'none'
    else dict(type='Pretrained', checkpoint=backbone_weights),
)
small_encoder = dict(
    num_layers=2,
    layer_cfg=dict(
        self_attn_cfg=dict(embed_dims=128, dropout=0.0),
        ffn_cfg=dict(embed_dims=128, feedforward_channels=256, ffn_drop=0.0),
    ),
)
small_decoder = dict(
    num_layers=3,
    layer_cfg=dict(
        self_attn_cfg=dict(embed_dims=128, dropout=0.0),
        cross_attn_cfg=dict(embed_dims=128, dropout=0.0),
        ffn_cfg=dict(embed_dims=128, feedforward_channels=256, ffn_drop=0.0),
    ),
)
