# First stage of devis_mobilenetv2_1xb2-2k_ytvis-style.py: single frames of the same videos, as the
# COCO stage of the paper. Pictures of different videos in a batch teach classes faster than clips.
_base_ = './devis_mobilenetv2_1xb2-2k_ytvis-style.py'

model = dict(num_frames=1, num_queries=10, test_cfg=dict(stride=1))
train_dataloader = dict(batch_size=8, dataset=dict(num_frames=1))

# Masks of whole videos come from the second stage.
val_cfg = None
val_dataloader = None
val_evaluator = None
test_cfg = None
test_dataloader = None
test_evaluator = None

max_iters = 1000
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters, eta_min=0.0),
]
custom_hooks = []
