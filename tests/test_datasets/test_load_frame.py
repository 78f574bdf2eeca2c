import cv2
import numpy as np
import pytest

from mmdevis.datasets import FrameError, LoadFrame


@pytest.fixture(params=['.jpg', '.png'])
def picture(request, tmp_path):
    path = tmp_path / f'00003{request.param}'
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    cv2.imwrite(str(path), image)
    return path


def _load(path, **info):
    return LoadFrame()({'img_path': str(path), 'video_id': 7, 'frame_id': 3, **info})


def test_good_file(picture):
    results = _load(picture, height=48, width=64)
    assert results['img'].shape == (48, 64, 3)
    assert results['img'].dtype == np.uint8
    assert results['img_shape'] == results['ori_shape'] == (48, 64)


def test_bytes_after_the_end_do_no_harm(picture):
    whole = _load(picture)['img']
    picture.write_bytes(picture.read_bytes() + 100 * b'\0')
    assert (_load(picture)['img'] == whole).all()


@pytest.mark.parametrize('kept', [0.97, 0.5, 0.2])
def test_truncated(picture, kept):
    data = picture.read_bytes()
    picture.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(FrameError, match=rf'video 7, frame 3, file .*{picture.name}.*truncated'):
        _load(picture)


def test_missing(tmp_path):
    with pytest.raises(FrameError, match=r'video 7, frame 3, file .*gone.jpg does not exist'):
        _load(tmp_path / 'gone.jpg')


@pytest.mark.parametrize('data', [b'', b'no image', b'\x89PNG', b'\xff\xd8'])
def test_no_image(tmp_path, data):
    (tmp_path / 'x.jpg').write_bytes(data)
    with pytest.raises(FrameError, match=r'video 7, frame 3, file .*x.jpg'):
        _load(tmp_path / 'x.jpg')


def test_other_size_than_the_annotations(picture):
    with pytest.raises(ValueError, match=r'video 7, frame 3, .*48 x 64.* 64 x 48'):
        _load(picture, height=64, width=48)
