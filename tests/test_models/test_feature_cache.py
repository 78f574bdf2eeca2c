"""Frames that clips share go through the backbone once, with the same result."""

import gc
import weakref
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
    video = list(torch.randn(length, 3, 4, 4))
    plans = ClipScheduler(num_frames, stride).clips(length)
    clips = [[video[index] for index in plan.frame_indices] for plan in plans]
    backbone, cache = Backbone(), FeatureCache(stride)
    for start in range(0, len(clips), batch):
        together = clips[start : start + batch]
        inputs = torch.stack([frame for clip in together for frame in clip])
        for found, expected in zip(cache.run(backbone, inputs, together), Backbone()(inputs)):
            assert torch.equal(found, expected)
    # The last clip reaches back to be whole, further than was foreseen.
    assert length <= backbone.frames <= length + num_frames
    # What is kept is what the next clip shares, and nothing of its batch.
    assert len(cache._known) <= max(num_frames - stride, 0)
    for _, maps in cache._known.values():
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
    with mock.patch.object(FeatureCache, 'run', lambda self, run, inputs, clips: run(inputs)):
        alone = scores()
    hook.remove()
    assert shared and shared == pytest.approx(alone, abs=1e-4)
    # Frames 0-5, 6-9, and 5-7 and 10 for the clip that ends the video; without sharing three clips.
    assert (shared_frames, sum(seen)) == (6 + 4 + 4, 3 * 6)


def test_a_frame_that_takes_the_place_of_one_that_failed(model):
    """The frame of a push that failed may be dropped; the next one gets its number."""
    video = torch.randint(0, 256, (11, 3, 64, 96), dtype=torch.uint8)
    dropped = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    results = []
    for fails in (False, True):
        with model.open_stream((64, 96), (64, 96)) as stream:
            for index, frame in enumerate(video):
                if fails and index == 5:
                    with mock.patch.object(model, 'forward_clips', side_effect=MemoryError):
                        with pytest.raises(MemoryError):
                            stream.push(dropped)
                stream.push(frame)
            results.append([track.score for track in stream.close()[1]])
    # Not to the bit: frames went through the backbone in other company.
    assert results[0] and results[1] == pytest.approx(results[0], abs=1e-4)


def test_whoever_watches_the_backbone_sees_whole_clips(model):
    seen = []
    hook = model.backbone.register_forward_hook(lambda m, args, out: seen.append(len(args[0])))
    with model.open_stream((64, 96), (64, 96)) as stream:
        for frame in torch.randint(0, 256, (10, 3, 64, 96), dtype=torch.uint8):
            stream.push(frame)
    hook.remove()
    assert seen == [6, 6]


def test_a_stream_that_ended_holds_no_maps(model):
    stream = model.open_stream((64, 96), (64, 96))
    for frame in torch.randint(0, 256, (6, 3, 64, 96), dtype=torch.uint8):
        stream.push(frame)
    (cache,) = (x for x in gc.get_objects() if type(x) is FeatureCache and x._known)
    alive = weakref.ref(cache)
    del cache
    stream.close()
    gc.collect()
    assert alive() is None
