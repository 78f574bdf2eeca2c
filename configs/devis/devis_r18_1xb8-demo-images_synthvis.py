# First stage of the demo, as the COCO stage of the paper: the same model on clips of one frame.
# Pictures from different videos teach classes much faster than clips do.
_base_ = './devis_r18_1xb4-demo_synthvis.py'

model = dict(
    num_frames=1,
    num_queries=10,
    backbone=dict(norm_eval=False),
    test_cfg=dict(stride=1),
)
train_dataloader = dict(batch_size=8, dataset=dict(num_frames=1))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
