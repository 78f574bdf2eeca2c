# Data of the protocol (docs/benchmarks/protocol.md): made by seed.
data = dict(
    root='data/benchmark/synthvis',
    seed=0,
    difficulty='standard',
    splits=dict(train=200, valid=24, test=50),  # valid only chooses the learning rate
    settings=dict(frames=16, size=(96, 160)),
    subsets=dict(  # further test sets: number of videos, and settings that differ
        heavy_occlusion=dict(videos=24, companion_prob=1.0, occluder_prob=1.0),
        look_alike=dict(videos=24, look_alike_prob=1.0, crossing_prob=1.0),
    ),
)
seeds = [0, 1]
lr_factors = [1.0, 3.0, 10.0]
