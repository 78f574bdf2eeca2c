# SynthVIS between easy and standard: all its phenomena, but larger objects, calmer backgrounds, and
# slower and rarer crossings, because minutes of training on two cores are few.
calm_videos = dict(
    classes=('disc', 'triangle', 'cross'),
    object_size=(0.32, 0.5),
    texture_strength=0.2,
    contrast=0.45,
    crossing_prob=0.4,
    crossing_speed=(0.04, 0.09),
    look_alike_prob=0.35,
    companion_prob=0.15,
    occluder_prob=0.2,
)
