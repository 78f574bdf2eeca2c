"""A tiny data set on disk: three videos of 24 x 32 pixels with moving squares."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from pycocotools import mask as mask_utils

HEIGHT, WIDTH = 24, 32
LENGTHS = (5, 2, 1)
CATEGORIES = [{'id': 7, 'name': 'square'}, {'id': 3, 'name': 'circle'}]


def encode(mask: np.ndarray) -> dict:
    rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': list(rle['size']), 'counts': rle['counts'].decode()}


def track_mask(track_id: int, frame: int) -> np.ndarray:
    """An 8 x 8 square that moves by 2 pixels per frame."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    left = 2 + 2 * frame + 3 * track_id
    mask[4:12, left : left + 8] = True
    return mask


def make_ytvis() -> dict:
    """Video 1 has tracks 1 and 2 (absent in frames 0-1, empty mask in 2), 2 has 3, 3 has none."""
    videos = [
        {
            'id': number,
            'height': HEIGHT,
            'width': WIDTH,
            'length': length,
            'file_names': [f'v{number}/{frame:05d}.png' for frame in range(length)],
        }
        for number, length in enumerate(LENGTHS, 1)
    ]
    annotations = []
    for track_id, video_id, category in ((1, 1, 7), (2, 1, 3), (3, 2, 7)):
        masks = [encode(track_mask(track_id, t)) for t in range(LENGTHS[video_id - 1])]
        if track_id == 2:
            masks[:3] = [None, None, encode(np.zeros((HEIGHT, WIDTH)))]
        annotations.append(
            {
                'id': track_id,
                'video_id': video_id,
                'category_id': category,
                'iscrowd': 0,
                'segmentations': masks,
                'bboxes': [m and mask_utils.toBbox(m).tolist() for m in masks],
                'areas': [m and int(mask_utils.area(m)) for m in masks],
                'occlusion': [m and 'no_occlusion' for m in masks],
            }
        )
    return {
        'videos': videos,
        'annotations': annotations,
        'categories': [dict(c) for c in CATEGORIES],
    }


@pytest.fixture(autouse=True)
def default_scope():
    """As MMEngine's runner sets it, so that pipelines find MMDetection's transforms."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture
def ytvis() -> dict:
    return make_ytvis()


@pytest.fixture(scope='session')
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `train.json` (YouTube-VIS) and `JPEGImages/v1/00000.png`, ...

    The pixel value of frame t of video v is 40 * v + t + 1 outside of objects.
    """
    root = tmp_path_factory.mktemp('tiny_vis')
    data = make_ytvis()
    (root / 'train.json').write_text(json.dumps(data))
    for video in data['videos']:
        for frame, name in enumerate(video['file_names']):
            image = np.full((HEIGHT, WIDTH, 3), 40 * video['id'] + frame + 1, np.uint8)
            for track in data['annotations']:
                rle = track['segmentations'][frame] if track['video_id'] == video['id'] else None
                if rle:
                    image[mask_utils.decode(rle) > 0] = 200 + track['id']
            path = root / 'JPEGImages' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
    return root


@pytest.fixture
def run_tool(monkeypatch):
    """Runs a script of tools/dataset_converters in this process: run_tool(name, *arguments)."""

    def run(name: str, *arguments) -> None:
        path = Path(__file__).parents[2] / 'tools/dataset_converters' / name
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr('sys.argv', [name, *map(str, arguments)])
        module.main()

    return run
