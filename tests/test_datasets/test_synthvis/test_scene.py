import numpy as np
import pytest

from mmdevis.datasets.synthvis import SynthVISConfig
from mmdevis.datasets.synthvis.scene import sample_scene, video_rng


def _scenes(count: int, **settings):
    config = SynthVISConfig(size=(48, 80), **settings)
    return config, [sample_scene(config, video_rng(0, 'test', i)) for i in range(count)]


def test_generator_depends_on_every_argument():
    draws = {
        video_rng(*args).integers(2**62)
        for args in [(0, 'a', 0), (1, 'a', 0), (0, 'b', 0), (0, 'a', 1), (0, 'a', 0, 1)]
    }
    assert len(draws) == 5
    assert video_rng(0, 'a', 0).integers(2**62) == video_rng(0, 'a', 0).integers(2**62)


def test_look_alikes_share_all_but_their_way():
    _, scenes = _scenes(30, look_alike_prob=1.0, num_objects=(2, 4), short_video_prob=0.0)
    for scene in scenes:
        pair = [o for o in scene.objects if o.twin is not None]
        assert len(pair) == 2
        a, b = pair
        assert scene.objects[a.twin] is b and scene.objects[b.twin] is a
        assert a.label == b.label and a.aspect == b.aspect
        assert np.array_equal(a.texture, b.texture) and np.array_equal(a.radii, b.radii)
        assert not np.allclose(a.centers, b.centers)


def test_crossing_objects_meet_and_look_alikes_cross():
    settings = {'look_alike_prob': 0.5, 'crossing_prob': 1.0, 'empty_frame_prob': 0.0}
    _, scenes = _scenes(60, num_objects=(2, 4), short_video_prob=0.0, **settings)
    twins = 0
    for scene in scenes:
        a, b = (scene.objects[i] for i in scene.crossing)
        assert np.linalg.norm(a.centers - b.centers, axis=1).min() < a.radii.max() + b.radii.max()
        if any(o.twin is not None for o in scene.objects):
            twins += 1
            assert scene.objects[scene.crossing[0]].twin == scene.crossing[1]
    assert 15 < twins < 45


def test_lone_object_has_no_pair():
    _, scenes = _scenes(10, look_alike_prob=1.0, crossing_prob=1.0, num_objects=(1, 1))
    assert all(s.crossing is None and s.objects[0].twin is None for s in scenes)


def test_no_objects():
    _, scenes = _scenes(3, num_objects=(0, 0))
    assert all(s.objects == () for s in scenes)


@pytest.mark.parametrize('short', [(1, 1), (2, 3), (40, 50)])
def test_short_videos(short):
    config, scenes = _scenes(20, short_video_prob=1.0, short_frames=short)
    assert {s.frames for s in scenes} == set(range(short[0], short[1] + 1)) or short[0] > 16
    assert all(s.frames <= config.frames for s in scenes)


def test_size_and_rotation_change_within_bounds():
    config, scenes = _scenes(30, size_change=0.3, rotation=0.2, short_video_prob=0.0)
    change, turn = [], []
    for item in (o for s in scenes for o in s.objects):
        change.append(item.radii.max() / item.radii.min())
        turn.append(np.abs(np.diff(item.angles)).max())
        low, high = (r * 48 / 2 for r in config.object_size)
        assert 0.7 * low - 1e-6 <= item.radii.min() and item.radii.max() <= 1.3 * high + 1e-6
    assert max(change) > 1.2 and max(change) <= 1.3 / 0.7
    assert 0.1 < max(turn) <= 0.2


def test_background_moves():
    _, scenes = _scenes(5, background_speed=0.05, short_video_prob=0.0)
    for scene in scenes:
        middle = scene.background_motion @ np.array([40.0, 24.0, 1.0])
        assert np.linalg.norm(middle[-1] - middle[0]) > 1
