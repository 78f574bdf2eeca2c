# Table 1, "+ Increase spatial inputs": four levels and training on several, larger sizes. 35.9 AP.
_base_ = './deformable-vistr_r50-t6_4xb1-10e_youtubevis2019.py'

model = dict(num_feature_levels=4, neck=dict(in_channels=[512, 1024, 2048], num_outs=4))
train_dataloader = dict(dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
