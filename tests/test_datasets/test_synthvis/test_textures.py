import numpy as np
import pytest

from mmdevis.datasets.synthvis.textures import (
    background_texture,
    colour_away_from,
    object_texture,
    pattern,
    smooth_noise,
)


@pytest.mark.parametrize('kind', ['plain', 'stripes', 'checker', 'dots', 'clouds', 'waves', None])
def test_pattern_blends(kind):
    field = pattern(np.random.default_rng(0), (40, 50), 16.0, kind)
    assert field.shape == (40, 50) and field.dtype == np.float32
    assert field.min() >= 0 and field.max() <= 1
    if kind not in ('plain', None):
        assert field.std() > 0.1


def test_smooth_noise_is_smooth_and_full_range():
    field = smooth_noise(np.random.default_rng(0), (64, 64), 16.0)
    assert field.min() == 0 and field.max() == pytest.approx(1)
    assert np.abs(np.diff(field, axis=0)).max() < 0.3


def test_colour_keeps_its_distance():
    rng = np.random.default_rng(0)
    others = np.array([[128.0, 128, 128], [20, 20, 20]], np.float32)
    for _ in range(50):
        colour = colour_away_from(rng, others, 0.3)
        assert np.linalg.norm(colour - others, axis=1).min() >= 0.3 * 255 * np.sqrt(3)


def test_colour_that_cannot_be_found_is_the_farthest():
    rng, again = np.random.default_rng(0), np.random.default_rng(0)
    others = np.array([[128.0, 128, 128]], np.float32)
    colour = colour_away_from(rng, others, 1.0)
    draws = again.uniform(15, 240, (48, 3)).astype(np.float32)
    assert np.allclose(colour, draws[np.linalg.norm(draws - others, axis=1).argmax()])


def test_pictures_are_in_range():
    rng = np.random.default_rng(0)
    picture, colours = background_texture(rng, (60, 90), 30.0, 1.0)
    assert picture.shape == (60, 90, 3) and colours.shape == (2, 3)
    texture = object_texture(rng, colours, 0.3)
    for image in (picture, texture):
        assert image.dtype == np.float32 and image.min() >= 0 and image.max() <= 255
