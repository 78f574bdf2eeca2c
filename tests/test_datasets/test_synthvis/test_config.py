import json

import pytest

from mmdevis.datasets.synthvis import DIFFICULTIES, SYNTHVIS_CLASSES, SynthVISConfig


@pytest.mark.parametrize('difficulty', DIFFICULTIES)
def test_presets_survive_json(difficulty):
    config = SynthVISConfig.preset(difficulty, frames=7)
    assert config.frames == 7
    assert SynthVISConfig(**json.loads(json.dumps(config.to_dict()))) == config


def test_presets_get_harder():
    presets = [SynthVISConfig.preset(d) for d in ('easy', 'standard', 'hard')]
    for name in ('look_alike_prob', 'crossing_prob', 'occluder_prob', 'leave_prob', 'noise'):
        values = [getattr(p, name) for p in presets]
        assert values == sorted(values) and values[0] < values[2], name
    contrasts = [p.contrast for p in presets]
    assert contrasts == sorted(contrasts, reverse=True)


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('frames', 0),
        ('frames', 2.5),
        ('frames', True),
        ('size', (96,)),
        ('size', (96, 16)),
        ('size', 96),
        ('size', 'ab'),
        ('classes', ()),
        ('classes', ('disc', 'disc')),
        ('classes', ('disc', 'dog')),
        ('num_objects', (3, 1)),
        ('num_objects', (-1, 1)),
        ('num_objects', (1.0, 2.0)),
        ('short_frames', (0, 2)),
        ('object_size', (0.0, 0.2)),
        ('object_size', (0.2, 1.5)),
        ('look_alike_prob', 1.1),
        ('crossing_prob', -0.1),
        ('crossing_prob', 'often'),
        ('noise', float('nan')),
        ('noise', -1.0),
        ('size_change', 1.0),
        ('image_format', 'gif'),
        ('jpeg_quality', 0),
    ],
)
def test_bad_value_is_named(field, value):
    with pytest.raises(ValueError, match=f'SynthVIS: {field} '):
        SynthVISConfig(**{field: value})


def test_unknown_difficulty_and_setting():
    with pytest.raises(ValueError, match="unknown difficulty 'nightmare'.*easy, standard, hard"):
        SynthVISConfig.preset('nightmare')
    with pytest.raises(ValueError, match='unknown setting crosing_prob.*crossing_prob'):
        SynthVISConfig.preset('easy', crosing_prob=1.0)


def test_order_of_classes_is_kept():
    names = tuple(reversed(SYNTHVIS_CLASSES))
    assert SynthVISConfig(classes=list(names)).classes == names
