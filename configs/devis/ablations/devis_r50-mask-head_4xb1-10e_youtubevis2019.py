# Table 1, "+ Multi-scale mask head". 40.2 AP.
_base_ = './devis_r50-instance-aware_4xb1-10e_youtubevis2019.py'

model = dict(
    bbox_head=dict(
        aux_mask_layers=(2,),
        mask_head=dict(
            feature_channels=(256, 256, 256),
            num_attention_levels=3,
            deformable=True,
            temporal_conv=False,
            encoded_features=True,
        ),
        loss_mask=dict(loss_weight=4.0),
        loss_dice=dict(loss_weight=4.0),
    )
)
