# Table 3: clips of 12 frames; two frames of consecutive clips overlap, as always. 41.6 AP.
_base_ = '../devis_r50_4xb1-9e_youtubevis2019.py'

model = dict(num_frames=12, num_queries=120, test_cfg=dict(stride=10))
train_dataloader = dict(dataset=dict(num_frames=12))
