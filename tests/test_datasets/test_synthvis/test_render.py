from dataclasses import replace

import numpy as np
import pytest

from mmdevis.datasets.synthvis import DIFFICULTIES, SYNTHVIS_CLASSES, SynthVISConfig
from mmdevis.datasets.synthvis.render import render_scene
from mmdevis.datasets.synthvis.scene import Occluder, sample_scene, video_rng
from mmdevis.datasets.synthvis.shapes import shape_distance

CONFIG = SynthVISConfig.preset('hard', frames=6, size=(64, 96), occluder_prob=0.0, noise=0.0)


def _scene(index: int, config: SynthVISConfig = CONFIG):
    return sample_scene(config, video_rng(0, 'test', index))


def _render(scene, config: SynthVISConfig = CONFIG):
    return list(render_scene(scene, config, video_rng(0, 'test', 0, 1)))


@pytest.mark.parametrize('difficulty', DIFFICULTIES)
@pytest.mark.parametrize('index', range(4))
def test_masks_do_not_overlap(difficulty, index):
    config = SynthVISConfig.preset(difficulty, frames=6, size=(48, 64))
    scene = _scene(index, config)
    frames = _render(scene, config)
    assert len(frames) == scene.frames
    for frame in frames:
        assert frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8
        assert frame.masks.shape == (len(scene.objects), 48, 64)
        assert frame.masks.sum(0).max(initial=0) <= 1
        assert (frame.masks.sum((1, 2)) <= frame.full_areas).all()


@pytest.mark.parametrize('index', range(6))
def test_masks_are_the_pixel_centres_inside_in_order_of_depth(index):
    """Recomputes ownership the slow way, over the whole frame and front to back."""
    scene = _scene(index)
    height, width = CONFIG.size
    y, x = np.mgrid[:height, :width] + 0.5
    for t, frame in enumerate(_render(scene)):
        free = np.ones((height, width), bool)
        for i in reversed(range(len(scene.objects))):
            item = scene.objects[i]
            offset = (x - item.centers[t, 0]) + 1j * (y - item.centers[t, 1])
            local = offset * np.exp(-1j * item.angles[t]) / item.radii[t]
            name = CONFIG.classes[item.label]
            inside = shape_distance(name, local.real, local.imag, item.aspect) < 0
            # The last digits may differ for a centre on the outline itself.
            assert (frame.masks[i] ^ (inside & free)).sum() <= 1
            assert abs(int(frame.full_areas[i]) - int(inside.sum())) <= 1
            free &= ~inside


def test_picture_changes_only_where_the_objects_are():
    config = replace(CONFIG, blur=0.0)
    scene = next(s for s in (_scene(i, config) for i in range(50)) if s.frames == 6)
    empty = replace(scene, objects=())
    with_objects, without = _render(scene, config), _render(empty, config)
    for a, b in zip(with_objects, without):
        changed = (a.image != b.image).any(-1)
        mask = a.masks.any(0)
        # Soft edges reach half a pixel outwards: never further than the neighbouring pixels.
        grown = np.zeros_like(mask)
        padded = np.pad(mask, 1)
        for dy in range(3):
            for dx in range(3):
                grown |= padded[dy : dy + mask.shape[0], dx : dx + mask.shape[1]]
        assert not (changed & ~grown).any()
        assert changed[mask].mean() > 0.95 if mask.any() else True


def test_bar_hides_objects_and_leaves_their_full_area():
    scene = next(s for s in (_scene(i) for i in range(50)) if len(s.objects) >= 3)
    bar = Occluder(
        texture=np.zeros((8, 8, 3), np.float32),
        centers=np.full((scene.frames, 2), 48.0),
        angle=0.0,
        width=1000.0,
    )
    for covered, free in zip(_render(replace(scene, occluder=bar)), _render(scene)):
        assert not covered.masks.any()
        assert (covered.full_areas == free.full_areas).all()


def test_drawing_a_frame_does_not_depend_on_objects_outside():
    scene = next(s for s in (_scene(i) for i in range(50)) if len(s.objects) >= 3)
    outside = replace(scene.objects[0], centers=np.full((scene.frames, 2), -500.0))
    frames = _render(replace(scene, objects=(outside, *scene.objects[1:])))
    assert all(not f.masks[0].any() and f.full_areas[0] == 0 for f in frames)


def test_class_is_independent_of_colour_and_size():
    """Mean colour and size by class stay near the mean over all classes."""
    config = SynthVISConfig(frames=1, size=(32, 48), num_objects=(4, 4))
    by_class = {i: [] for i in range(len(SYNTHVIS_CLASSES))}
    for index in range(150):
        for item in _scene(index, config).objects:
            colour = item.texture.mean((0, 1)) / 255
            by_class[item.label].append([*colour, item.radii[0] / 7])
    means = np.array([np.mean(v, axis=0) for v in by_class.values()])
    assert min(len(v) for v in by_class.values()) > 50
    assert np.abs(means - means.mean(0)).max() < 0.12
