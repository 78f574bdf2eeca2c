import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdevis.datasets.synthvis.motion import accompany, crossing_pair, send_outside, wander

SIZE = (96, 160)


def _steps(path: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(path, axis=0), axis=1)


@given(st.integers(0, 10**6), st.integers(1, 60), st.floats(0, 8))
def test_wander_stays_about_inside_at_its_speed(seed, frames, speed):
    rng = np.random.default_rng(seed)
    path = wander(rng, np.array([80.0, 48]), speed, frames, SIZE, 10.0)
    assert path.shape == (frames, 2) and np.isfinite(path).all()
    assert np.allclose(path[0], (80, 48))
    # The curve may pass the margin between knots, by less than one knot's way.
    slack = 2.5 * speed
    assert (path >= 10 - slack).all() and (path <= np.array([150, 86]) + slack).all()
    assert (_steps(path) <= 2 * speed + 1e-6).all()


@given(st.integers(0, 10**6), st.integers(6, 40), st.floats(3, 15))
def test_crossing_pair_meets_and_passes(seed, frames, speed):
    first, second = crossing_pair(np.random.default_rng(seed), speed, frames, SIZE, 16.0)
    gap = np.linalg.norm(first - second, axis=1)
    # At the meeting both are within a fraction of the radius, give or take half a frame's way.
    assert gap.min() <= 0.4 * 16 + speed
    # In the middle third of the video, or at a later crossing of a fast pair.
    middle = gap[int(0.35 * (frames - 1)) : int(0.65 * (frames - 1)) + 2]
    assert middle.min() <= 0.4 * 16 + speed
    nearest = int(0.35 * (frames - 1)) + int(middle.argmin())
    for path in (first, second):
        assert (_steps(path) <= 1.1 * speed + 1.5).all()
        # Neither turns back at the meeting: the way goes on in the same direction.
        before, after = path[nearest] - path[nearest - 1], path[nearest + 1] - path[nearest]
        assert before @ after > 0


def test_fast_pair_crosses_more_than_once():
    first, second = crossing_pair(np.random.default_rng(0), 22.0, 32, SIZE, 16.0)
    along = np.sign((first - second)[:, 0])
    assert (np.diff(along) != 0).sum() >= 2


@given(st.integers(0, 10**6), st.integers(2, 40), st.data())
def test_send_outside_is_outside_then_and_unchanged_elsewhere(seed, frames, data):
    first = data.draw(st.integers(0, frames - 1))
    last = data.draw(st.integers(first, frames - 1))
    rng = np.random.default_rng(seed)
    path = wander(rng, rng.uniform((20, 20), (140, 76)), 4.0, frames, SIZE, 10.0)
    away = np.zeros(frames, bool)
    away[first : last + 1] = True
    bent = send_outside(path, away, SIZE, 25.0, 12.0)
    outside = (bent < -25).any(1) | (bent > np.array([160, 96]) + 25).any(1)
    assert outside[away].all()
    t = np.arange(frames)
    far = np.maximum(first - t, t - last) > 25
    assert np.allclose(bent[far], path[far])


def test_send_outside_without_absence_changes_nothing():
    path = np.full((5, 2), 30.0)
    assert send_outside(path, np.zeros(5, bool), SIZE, 20.0, 10.0) is path


@pytest.mark.parametrize('gap', [5.0, 20.0])
def test_accompany_stays_near(gap):
    rng = np.random.default_rng(0)
    path = wander(rng, np.array([80.0, 48]), 4.0, 30, SIZE, 10.0)
    beside = accompany(rng, path, gap)
    distance = np.linalg.norm(beside - path, axis=1)
    assert (distance >= 0.64 * gap).all() and (distance <= 1.36 * gap).all()
