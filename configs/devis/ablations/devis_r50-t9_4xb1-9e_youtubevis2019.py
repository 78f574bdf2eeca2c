# Table 3: clips of 9 frames; two frames of consecutive clips overlap, as always. 42.4 AP.
_base_ = '../devis_r50_4xb1-9e_youtubevis2019.py'

model = dict(num_frames=9, num_queries=90, test_cfg=dict(stride=7))
train_dataloader = dict(dataset=dict(num_frames=9))
