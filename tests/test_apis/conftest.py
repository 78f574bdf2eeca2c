"""A model that finds moving boxes, in no time."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from mmdevis.structures import FrameTracks, Track, encode_masks

SIZE = (48, 64)


def found_boxes(index: int, scores=(0.9, 0.6, 0.05)) -> FrameTracks:
    """Track 0 moves right; track 3 is absent in odd frames; track 4 scores too little."""
    masks = np.zeros((3, *SIZE), bool)
    masks[0, 10:20, 5 + index : 15 + index] = True
    masks[1, 15:40, 8:20] = True
    masks[2, 30:34, 40:50] = True
    rows = [0, 1, 2] if index % 2 == 0 else [0, 2]
    pick = torch.tensor(rows)
    return FrameTracks(
        frame_index=index,
        track_ids=torch.tensor([0, 3, 4])[pick],
        labels=torch.tensor([1, 0, 0])[pick],
        scores=torch.tensor(scores)[pick],
        masks=[encode_masks(torch.from_numpy(masks))[row] for row in rows],
        track_labels=torch.tensor([1, 0, 0])[pick],
        track_scores=torch.tensor(scores)[pick],
    )


class BoxInferencer:
    """In place of `VISInferencer`; holds back a frame, as clips do."""

    class_names = ('cat', 'dog')

    def __init__(self, *args, **kwargs):
        pass

    def on_frame(self, index):
        """Called with the number of each frame that is taken in."""

    def stream(self, source, stride=None, max_frames=None, **options):
        count = 0
        for index, _ in enumerate(source):
            if index == max_frames:
                break
            self.on_frame(index)
            count += 1
            if index:
                yield found_boxes(index - 1)
        yield found_boxes(count - 1)
        return [Track(0, 1, 0.9), Track(3, 0, 0.6), Track(4, 0, 0.05)]


@pytest.fixture(name='found_boxes')
def found_boxes_fixture():
    return found_boxes


@pytest.fixture
def box_inferencer():
    """A class of its own, so that a test may change it."""
    return type('BoxInferencer', (BoxInferencer,), {})


@pytest.fixture
def frames():
    return [np.full((*SIZE, 3), 30 + 20 * i, np.uint8) for i in range(6)]


@pytest.fixture
def frame_folder(tmp_path, frames):
    folder = tmp_path / 'clip'
    folder.mkdir()
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f'{index}.png'), frame)
    return folder


@pytest.fixture
def truth_file():
    """Annotations of the video `clip` as the boxes are, without track 4; and of another video."""

    def rle(mask):
        return dict(size=mask['size'], counts=mask['counts'].decode())

    per_frame = [found_boxes(index) for index in range(6)]
    segmentations = {
        track_id: [
            next((rle(m) for i, m in zip(f.track_ids.tolist(), f.masks) if i == track_id), None)
            for f in per_frame
        ]
        for track_id in (0, 3)
    }
    height, width = SIZE
    video = dict(height=height, width=width, length=6)
    return dict(
        videos=[
            dict(video, id=7, file_names=[f'clip/{i}.jpg' for i in range(6)]),
            dict(video, id=8, file_names=[f'other/{i}.jpg' for i in range(6)]),
        ],
        categories=[dict(id=30, name='cat'), dict(id=20, name='dog'), dict(id=40, name='owl')],
        annotations=[
            dict(id=1, video_id=7, category_id=20, iscrowd=0, segmentations=segmentations[0]),
            dict(id=2, video_id=7, category_id=30, iscrowd=0, segmentations=segmentations[3]),
        ],
    )
