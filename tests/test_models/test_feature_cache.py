"""Frames that clips share go through the backbone once, with the same result."""

from pathlib import Path
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from mmdevis.apis.clip_scheduler import ClipScheduler
from mmdevis.models.vis.feature_cache import FeatureCache
from mmdevis.testing import build_reduced

CONFIG = Path(__file__).parents[2] / 'configs/devis/devis_r50_4xb1-9e_youtubevis2019.py'


class Backbone:
    """Two maps that tell frames apart, and how many frames were looked at."""

    def __init__(self) -> None:
        self.frames = 0

    def __call__(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        self.frames += len(inputs)
        return [inputs * 2, inputs[..., ::2, ::2] + 1]


@settings(deadline=None, max_examples=50)
@given(data=st.data(), length=st.integers(1, 20), batch=st.integers(1, 3))
def test_maps_are_those_of_the_frames(data, length, batch):
    num_frames = data.draw(st.integers(1, 6))
    stride = data.draw(st.integers(1, max(num_frames - 1, 1)))
    video = torch.randn(length, 3, 4, 4)
    clips = [plan.frame_indices for plan in ClipScheduler(num_frames, stride).clips(length)]
    backbone, cache = Backbone(), FeatureCache(stride)
    for start in range(0, len(clips), batch):
        indices = clips[start : start + batch]
        inputs = video[[index for clip in indices for index in clip]]
        for found, expected in zip(cache.run(backbone, inputs, indices), Backbone()(inputs)):
            assert torch.equal(found, expected)
    # The last clip reaches back to be whole, further than was foreseen.
    assert length <= backbone.frames <= length + num_frames
    # What is kept is what the next clip shares, and nothing of its batch.
    assert len(cache._maps) <= max(num_frames - stride, 0)
    for maps in cache._maps.values():
        assert all(part.untyped_storage().nbytes() == 4 * part.numel() for part in maps)


@pytest.fixture(scope='module')
def model():
    return build_reduced(Config.fromfile(CONFIG)).eval()


@pytest.mark.parametrize('batch_size', [1, 2])
def test_tracks_do_not_depend_on_it(model, batch_size):
    video = torch.randint(0, 256, (11, 3, 64, 96), dtype=torch.uint8)

    def scores():
        with model.open_stream((64, 96), (64, 96), batch_size=batch_size) as stream:
            for frame in video:
                stream.push(frame)
            return [track.score for track in stream.close()[1]]

    seen = []
    hook = model.backbone.conv1.register_forward_hook(lambda m, args, out: seen.append(len(out)))
    shared = scores()
    shared_frames = sum(seen)
    seen.clear()
    with mock.patch.object(
        FeatureCache, 'run', lambda self, run, inputs, frame_indices: run(inputs)
    ):
        alone = scores()
    hook.remove()
    assert shared and shared == pytest.approx(alone, abs=1e-4)
    # Frames 0-5, 6-9, and 5-7 and 10 for the clip that ends the video; without sharing three clips.
    assert (shared_frames, sum(seen)) == (6 + 4 + 4, 3 * 6)


def test_a_prediction_that_failed_can_be_repeated(model):
    video = torch.randint(0, 256, (7, 3, 64, 96), dtype=torch.uint8)
    results = []
    for fails in (False, True):
        with model.open_stream((64, 96), (64, 96)) as stream:
            for index, frame in enumerate(video):
                if fails and index == 5:
                    with mock.patch.object(model, 'forward_clips', side_effect=MemoryError):
                        with pytest.raises(MemoryError):
                            stream.push(frame)
                stream.push(frame)
            results.append([track.score for track in stream.close()[1]])
    # Not to the bit: frames went through the backbone in other company.
    assert results[0] and results[1] == pytest.approx(results[0], abs=1e-4)
