# Table 5: all cues, as in the final model. 44.4 AP.
# Needs no training: test the weights of the base config with this one.
_base_ = '../devis_r50_4xb1-9e_youtubevis2019.py'

model = dict(tracker=dict(score_weight=1.0, class_weight=1.0))
