# Table 1: whole videos as one clip (none is longer than 36 frames). 34.2 AP.
_base_ = './deformable-vistr_r50-t6_4xb1-10e_youtubevis2019.py'

model = dict(num_frames=36, num_queries=360, test_cfg=dict(stride=34))
train_dataloader = dict(dataset=dict(num_frames=36))
