# Table 5: mask IoU and score. 42.8 AP.
# Needs no training: test the weights of the base config with this one.
_base_ = '../devis_r50_4xb1-9e_youtubevis2019.py'

model = dict(tracker=dict(score_weight=1.0, class_weight=0.0))
