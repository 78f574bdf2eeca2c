import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmdevis.datasets.synthvis import SynthVISConfig
from mmdevis.datasets.synthvis.annotations import annotate_video, encode_mask, youtube_vis_json
from mmdevis.datasets.synthvis.occlusion import frame_level, occlusion_rate

CONFIG = SynthVISConfig(size=(32, 40), min_visible=4 / (32 * 40))


def _frames(areas: list[list[int]]) -> list[np.ndarray]:
    """(F, N) visible areas as masks: object i fills row i, then rows further down."""
    frames = []
    for frame in areas:
        masks = np.zeros((len(frame), 32, 40), bool)
        for i, area in enumerate(frame):
            masks[i, 10 * i : 10 * i + 10].reshape(-1)[:area] = True
        frames.append(masks)
    return frames


@pytest.mark.parametrize(
    ('visible', 'full', 'rate'), [(10, 10, 0.0), (5, 10, 0.5), (0, 10, 1.0), (0, 0, None)]
)
def test_rate(visible, full, rate):
    assert occlusion_rate(visible, full) == rate


def test_rate_of_the_impossible():
    with pytest.raises(ValueError, match='visible area 11 is larger than the full area 10'):
        occlusion_rate(11, 10)


@pytest.mark.parametrize(
    ('rate', 'level'),
    [
        (0.0, 'no_occlusion'),
        (0.01, 'no_occlusion'),
        (0.03, 'slight_occlusion'),
        (0.5, 'slight_occlusion'),
        (0.51, 'severe_occlusion'),
        (1.0, 'severe_occlusion'),
    ],
)
def test_frame_level(rate, level):
    assert frame_level(rate) == level


def test_track_of_an_object_that_is_hidden_and_leaves():
    #         free  slight severe hidden sliver outside
    visible = [[20], [15], [8], [0], [2], [0]]
    full = [np.array([a]) for a in (20, 20, 20, 20, 20, 0)]
    (track,) = annotate_video(_frames(visible), full, [1], CONFIG)
    assert track['category_id'] == 2
    assert track['length'] == 6
    assert [s is not None for s in track['segmentations']] == [True] * 3 + [False] * 3
    assert track['areas'] == [20, 15, 8, None, None, None]
    assert track['occlusion_rates'] == [0.0, 0.25, 0.6, 1.0, 1.0, None]
    assert track['occlusion'] == [
        'no_occlusion',
        'slight_occlusion',
        'severe_occlusion',
        None,
        None,
        None,
    ]
    # Most occluded half of the three visible frames: severe 0.75 and slight 0.25.
    assert track['occlusion_score'] == 0.5
    assert track['occlusion_level'] == 'moderate'


def test_object_that_is_never_visible_has_no_track():
    areas = [np.array([20, 20])] * 2
    tracks = annotate_video(_frames([[0, 20], [2, 20]]), areas, [0, 3], CONFIG)
    assert [t['category_id'] for t in tracks] == [4]


def test_ids_count_over_the_split():
    tracks = annotate_video(_frames([[20, 30]]), [np.array([20, 30])], [0, 1], CONFIG)
    whole = youtube_vis_json([(['a/0.jpg'], tracks), (['b/0.jpg'], tracks)], CONFIG, 'test')
    assert [a['id'] for a in whole['annotations']] == [1, 2, 3, 4]
    assert [a['video_id'] for a in whole['annotations']] == [1, 1, 2, 2]
    assert [v['file_names'] for v in whole['videos']] == [['a/0.jpg'], ['b/0.jpg']]
    assert [c['name'] for c in whole['categories']] == list(CONFIG.classes)


def test_encoded_mask_is_text_and_exact():
    mask = np.random.default_rng(0).random((32, 40)) > 0.7
    rle = encode_mask(mask)
    assert isinstance(rle['counts'], str) and rle['size'] == [32, 40]
    assert np.array_equal(mask_utils.decode(rle).astype(bool), mask)
