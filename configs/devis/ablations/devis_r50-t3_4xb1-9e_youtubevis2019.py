# Table 3: clips of 3 frames; two frames of consecutive clips overlap, as always. 41.0 AP.
_base_ = '../devis_r50_4xb1-9e_youtubevis2019.py'

model = dict(num_frames=3, num_queries=30, test_cfg=dict(stride=1))
train_dataloader = dict(dataset=dict(num_frames=3))
