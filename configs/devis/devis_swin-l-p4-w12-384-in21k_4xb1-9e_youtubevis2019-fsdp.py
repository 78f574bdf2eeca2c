# The Swin-L recipe with parameters, gradients and optimiser states spread over the GPUs (FSDP) and
# layers recomputed in the backward pass, see docs/large_models.md.
_base_ = './devis_swin-l-p4-w12-384-in21k_4xb1-9e_youtubevis2019.py'

model = dict(
    backbone=dict(with_cp=True),
    encoder=dict(with_cp=True),
    decoder=dict(with_cp=True),
    bbox_head=dict(mask_head=dict(with_cp=True)),
)

runner_type = 'FlexibleRunner'
strategy = dict(
    type='FSDPStrategy',
    model_wrapper=dict(
        type='MMFullyShardedDataParallel',
        auto_wrap_policy='devis_wrap_policy',
        use_orig_params=True,  # groups of learning rates
    ),
    # Checkpoints hold the whole model, as those of the plain recipe.
    state_dict_cfg='full',
)
optim_wrapper = dict(type='ShardedOptimWrapper')

# All GPUs have to run the same number of forward passes, which videos of different lengths do not
# allow: evaluate the checkpoint with the plain recipe.
val_cfg = None
val_dataloader = None
val_evaluator = None
