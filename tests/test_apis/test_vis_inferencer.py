"""Videos through the demo config, reduced and with random weights."""

import copy
import functools
import gc
import signal
import threading
import time
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmengine.config import Config

from mmdevis.apis.clip_scheduler import ClipScheduler
from mmdevis.apis.frame_source import FrameError, open_frames
from mmdevis.apis.streaming import VideoStream
from mmdevis.apis.video_command import main
from mmdevis.apis.vis_inferencer import PRECISIONS, VISInferencer, _resized
from mmdevis.models.trackers import MultiCueClipTracker
from mmdevis.structures import FrameTracks, Track
from mmdevis.testing import reduce_model
from mmdevis.utils.checkpoint import CheckpointError

CONFIG = Path(__file__).resolve().parents[2] / 'configs/devis/devis_r18_1xb4-demo_synthvis.py'


def make_frames(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, *size, 3), dtype=np.uint8))


@pytest.fixture(scope='module')
def inferencer() -> VISInferencer:
    """T = 4, stride 2, 10 instances per clip."""
    torch.manual_seed(0)
    cfg = Config.fromfile(CONFIG)
    # Nothing of a random model passes thresholds, and its boxes are a strange prior for its masks.
    cfg.model.tracker = dict(type='MultiCueClipTracker')
    cfg.model.bbox_head.mask_head.box_prior = False
    cfg.model = reduce_model(cfg.model)
    with pytest.warns(UserWarning, match='untrained'):
        return VISInferencer(cfg, device='cpu')


def finish(stream) -> tuple[list[FrameTracks], list[Track]]:
    frames = []
    while True:
        try:
            frames.append(next(stream))
        except StopIteration as end:
            return frames, end.value


def reading_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == 'mmdevis-read']


def same_frame(first: FrameTracks, second: FrameTracks) -> bool:
    numbers = ('track_ids', 'labels', 'scores', 'bboxes', 'track_labels', 'track_scores')
    return (
        first.frame_index == second.frame_index
        and first.masks == second.masks
        and all(torch.equal(getattr(first, name), getattr(second, name)) for name in numbers)
    )


@pytest.mark.parametrize('length', [1, 3, 4, 9])
def test_every_frame_once_and_in_order(inferencer, length):
    result = inferencer(make_frames(length))
    assert [frame.frame_index for frame in result.frames] == list(range(length))
    assert result.tracks
    sizes = {tuple(m['size']) for t in result.tracks for m in t.segmentations.values()}
    assert sizes == {(48, 64)}
    for frame in result.frames:
        assert frame.mask_arrays.shape == (len(frame), 48, 64)
        for mask, box in zip(frame.mask_arrays, frame.bboxes.tolist()):
            rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
            if mask.any():
                assert box == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_streams_at_once_give_what_each_gives_alone(inferencer):
    videos = [make_frames(6), [frame[::-1] for frame in make_frames(7)], make_frames(5)]
    options = [dict(), dict(stride=3, latency='low'), dict(stride=1, batch_size=2)]
    alone = [finish(inferencer.stream(v, **o)) for v, o in zip(videos, options)]
    streams = [inferencer.stream(v, **o) for v, o in zip(videos, options)]
    found = [[], [], []]
    for index in (0, 1, 2, 1, 0, 0, 2, 1, 0, 1, 2):
        found[index].append(next(streams[index]))
    for index, (frames, tracks) in enumerate(alone):
        rest, mine = finish(streams[index])
        assert mine == tracks
        assert all(map(same_frame, found[index] + rest, frames))
        assert len(found[index] + rest) == len(frames)


# ------------------------------------------------------------------------------------- exact mode
@pytest.mark.parametrize('stride', [1, 2, 3])
def test_stream_is_bit_for_bit_the_evaluation_of_the_whole_video(
    inferencer, stride, tmp_path, monkeypatch
):
    """The evaluation path: images on disk, the config's pipeline, TrackDataSample."""
    pipeline = Config.fromfile(CONFIG).test_dataloader.dataset.pipeline
    pack = TRANSFORMS.build(pipeline[0])
    monkeypatch.setitem(inferencer.model.test_cfg, 'stride', stride)
    for index, frame in enumerate(make_frames(10)):
        cv2.imwrite(str(tmp_path / f'{index}.png'), frame)
    for length in (1, 3, 4, 6, 9):
        paths = [str(tmp_path / f'{index}.png') for index in range(length)]
        video = dict(img_path=paths, frame_id=list(range(length)))
        video |= dict(video_id=[0] * length, height=[48] * length, width=[64] * length)
        packed = pack(video)
        batch = dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']])
        (whole,) = inferencer.model.test_step(batch)
        streamed = inferencer(paths)
        held = 0
        for index, frame in enumerate(whole.video_data_samples):
            found = frame.pred_track_instances
            tracks = [t for t in streamed.tracks if index in t.segmentations]
            assert found.instances_id.tolist() == [t.track_id for t in tracks]
            assert found.labels.tolist() == [t.label for t in tracks]
            assert torch.equal(found.scores, torch.tensor([t.score for t in tracks]))
            assert found.masks == [t.segmentations[index] for t in tracks]
            held += len(tracks)
        assert held == sum(len(track.segmentations) for track in streamed.tracks)


@pytest.mark.parametrize('stride, longest', [(1, 15), (2, 40), (3, 40)])
def test_real_predictions_at_every_length(inferencer, stride, longest):
    """The model runs once for each clip that occurs."""
    model, shape = inferencer.model, (16, 16)
    video = torch.randint(0, 256, (40, 3, *shape), dtype=torch.uint8)

    @functools.cache
    def predicted(indices):
        clip = model.data_preprocessor.clip([video[index] for index in indices])
        return next(model.predict_clips(clip, [indices], shape, shape, max_instances=4))

    def predict_clip(frames, indices):
        assert frames == indices
        return copy.copy(predicted(tuple(indices)))

    tracker = MultiCueClipTracker()
    for length in range(1, longest + 1):
        whole = tracker.new()
        for plan in ClipScheduler(4, stride).clips(length):
            clip = predicted(plan.frame_indices).head(plan.num_real)
            clip.num_ignored = plan.num_ignored
            whole.update(clip)
        with VideoStream(predict_clip, tracker, 4, stride) as stream:
            for index in range(length):
                stream.push(index)
            assert stream.close()[1] == whole.flush()[1]


@pytest.mark.parametrize(
    'options, longest',
    [
        (dict(latency='low'), 3),
        (dict(latency='low', stride=3), 3),
        (dict(), 4),
        (dict(stride=3), 4),
    ],
)
def test_no_frame_waits_longer_than_stated(inferencer, options, longest):
    read = []

    def source():
        for index, frame in enumerate(make_frames(14)):
            read.append(index)
            yield frame

    for result in inferencer.stream(source(), read_ahead=0, **options):
        assert read[-1] - result.frame_index <= longest


# ------------------------------------------------------------------------------- ends of all kinds
def broken_at(index: int, error: BaseException):
    yield from make_frames(index)
    raise error


@pytest.mark.parametrize('read_ahead', [0, 4])
@pytest.mark.parametrize('error', [OSError('lens cap'), KeyboardInterrupt()], ids=['error', 'stop'])
def test_what_was_final_comes_before_an_error_of_the_source(inferencer, error, read_ahead):
    wanted, got = inferencer(make_frames(9)).frames, []
    with pytest.raises(type(error)):
        for result in inferencer.stream(broken_at(9, error), read_ahead=read_ahead):
            got.append(result)
    # Of 9 frames, those before the last clip's possible start are final.
    assert len(got) == 5 and all(map(same_frame, got, wanted))
    assert not reading_threads()


def test_ctrl_c_releases_everything(inferencer, tmp_path):
    write_video(tmp_path / 'in.mp4', make_frames(40))
    source, got = open_frames(tmp_path / 'in.mp4'), []
    with pytest.raises(KeyboardInterrupt):
        for result in inferencer.stream(source):
            got.append(result.frame_index)
            if len(got) == 3:  # arrives while the next frames are worked on
                threading.Timer(0.01, signal.raise_signal, [signal.SIGINT]).start()
                waited = time.monotonic() + 10
        while time.monotonic() < waited:
            time.sleep(0.01)
    assert got[:3] == [0, 1, 2]
    gc.collect()
    assert not source._capture.isOpened() and not reading_threads()


def test_leaving_early_releases_everything(inferencer, tmp_path):
    write_video(tmp_path / 'in.mp4', make_frames(20))
    source = open_frames(tmp_path / 'in.mp4')
    with mock.patch.object(
        inferencer.model, 'open_stream', wraps=inferencer.model.open_stream
    ) as opened:
        stream = inferencer.stream(source)
        next(stream)
        stream.close()
    assert opened.call_count == 2  # the settings are tried out first
    assert not source._capture.isOpened() and not reading_threads()


def test_an_error_of_the_model_releases_everything(inferencer, tmp_path):
    write_video(tmp_path / 'in.mp4', make_frames(20))
    source = open_frames(tmp_path / 'in.mp4')
    error = RuntimeError('out of memory')
    with mock.patch.object(inferencer.model, 'forward_clips', side_effect=error):
        with pytest.raises(RuntimeError, match='out of memory'):
            list(inferencer.stream(source))
    assert not source._capture.isOpened() and not reading_threads()


def test_stream_reads_no_further_than_it_needs(inferencer):
    read = []

    def source():
        for index, frame in enumerate(make_frames(30)):
            read.append(index)
            yield frame

    stream = inferencer.stream(source())
    next(stream)
    stream.close()
    assert len(read) < 15


def test_max_frames(inferencer):
    read = []
    frames = (read.append(i) or frame for i, frame in enumerate(make_frames(9)))
    assert len(inferencer(frames, max_frames=5).frames) == 5
    assert len(read) == 5


# ----------------------------------------------------------------------------------------- options
def test_batches_change_nothing_but_rounding(inferencer):
    model, shape = inferencer.model, (48, 64)
    clips = torch.randn(3, 4, 3, *shape)
    numbers = [range(start, start + 4) for start in (0, 2, 4)]
    together = list(model.predict_clips(clips, numbers, shape, shape))
    for clip, indices, batched in zip(clips, numbers, together, strict=True):
        alone = model.predict_clip(clip[None], indices, shape, shape)
        assert batched.frame_indices.tolist() == list(indices)
        assert torch.equal(batched.labels, alone.labels)
        for name in ('scores', 'masks', 'centers'):
            torch.testing.assert_close(
                getattr(batched, name), getattr(alone, name), rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize(
    'dtype, score, place', [(torch.bfloat16, 0.05, 0.01), (torch.float16, 0.01, 0.002)]
)
def test_half_precision_is_close_to_full(inferencer, dtype, score, place):
    clip, shape = torch.randn(1, 4, 3, 48, 64), (48, 64)
    # All pairs of 10 trajectories and 6 classes, which may come in another order.
    full, half = (
        next(inferencer.model.predict_clips(clip, [range(4)], shape, shape, 60, d))
        for d in (None, dtype)
    )
    orders = [(x.mask_index * 6 + x.labels).argsort() for x in (full, half)]
    for name, rtol, atol in (('scores', score, 0), ('centers', 0, place), ('masks', 0, place)):
        values = [getattr(x, name) for x in (full, half)]
        if name != 'masks':
            values = [value[order] for value, order in zip(values, orders)]
        assert values[1].dtype == torch.float32 and not torch.equal(*values)
        torch.testing.assert_close(*values, rtol=rtol, atol=atol)


@pytest.mark.parametrize('precision, dtype', PRECISIONS.items())
def test_precision_reaches_the_model(inferencer, precision, dtype):
    model = inferencer.model
    with mock.patch.object(model, 'predict_clips', wraps=model.predict_clips) as predict:
        inferencer(make_frames(4), precision=precision)
    assert predict.call_args.args[-1] is dtype


def test_half_precision_does_not_leak_between_frames(inferencer):
    stream = inferencer.stream(make_frames(6), precision='bf16')
    next(stream)
    assert not torch.is_autocast_enabled('cpu') and torch.is_grad_enabled()
    stream.close()


@pytest.mark.parametrize('size, wanted', [((32, 32), (24, 32)), ((128, 128), (96, 128))])
def test_input_size(inferencer, size, wanted):
    with mock.patch.object(
        inferencer.model, 'open_stream', wraps=inferencer.model.open_stream
    ) as opened:
        result = inferencer(make_frames(4), input_size=size)
    assert opened.call_args.args == (wanted, (48, 64))  # masks stay at the video's size
    assert result.frames[0].masks[0]['size'] == [48, 64]


def test_input_size_replaces_the_configs():
    pipeline = [dict(type='Resize', scale=(640, 360), keep_ratio=True), dict(type='Other')]
    assert _resized(pipeline, None) == pipeline
    replaced = _resized(pipeline, (320, 180))
    assert [step['type'] for step in replaced] == ['Resize', 'Other']
    assert replaced[0]['scale'] == (320, 180)


def test_top_k(inferencer):
    counts = [
        max(len(frame) for frame in inferencer(make_frames(4), top_k=k).frames)
        for k in (None, 3, 1)
    ]
    assert counts == [10, 3, 1]


def test_finished_tracks_are_handed_out_and_forgotten(inferencer):
    # Nothing matches, so that every clip starts tracks that end with the clip.
    options = dict(tracker=dict(match_threshold=-9.0))
    whole = inferencer(make_frames(14), **options)
    got, seen = [], []
    stream = inferencer.stream(make_frames(14), max_missing=1, on_track=got.append, **options)
    frames, rest = [], None
    for _ in range(14):
        frames.append(next(stream))
        seen.append(len(got))
    rest = finish(stream)[1]
    assert rest == [] and 0 < seen[8] < len(got)
    assert sorted(got, key=lambda t: t.track_id) == whole.tracks
    assert all(map(same_frame, frames, whole.frames))
    # Without a taker they are the return value, as ever.
    assert inferencer(make_frames(14), max_missing=1, **options).tracks == whole.tracks


def test_tracks_without_masks(inferencer):
    result = inferencer(make_frames(5), keep_masks=False)
    assert result.tracks and not any(track.segmentations for track in result.tracks)
    assert all(len(frame.masks) == len(frame) for frame in result.frames)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(precision='int8'), 'precision must be one of fp32, bf16, fp16'),
        (dict(latency='none'), 'latency must be one of'),
        (dict(stride=4), 'stride must be in 1..3'),
        (dict(stride=0), 'stride must be in 1..3'),
        (dict(max_frames=0), 'max_frames must be at least 1'),
        (dict(batch_size=2, latency='low'), 'batch_size'),
        (dict(top_k=0), 'max_instances must be at least 1'),
        (dict(input_size=(0, 5)), r'input_size must be \(width, height\)'),
        (dict(tracker=dict(reid_window=-1)), 'reid_window'),
    ],
)
def test_bad_options_are_refused_before_the_source_is_opened(inferencer, options, message):
    with pytest.raises(ValueError, match=message):
        inferencer.stream('nowhere.mp4', **options)


def test_frames_of_other_size_are_named(inferencer):
    frames = [*make_frames(2), make_frames(1, (32, 64))[0]]
    with pytest.raises(FrameError, match='frame 2'):
        inferencer(frames)


def test_checkpoint_of_another_config_is_refused(tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(dict(state_dict={'backbone.conv1.weight': torch.zeros(3, 3)}), path)
    with pytest.raises(CheckpointError, match='backbone.conv1.weight'):
        VISInferencer(CONFIG, path, device='cpu')


def test_config_by_name():
    with pytest.raises(FileNotFoundError, match='did you mean devis_r18_1xb4-demo_synthvis'):
        VISInferencer('devis_r18_1xb4-demo-synthvis', device='cpu')
    with pytest.warns(UserWarning, match='untrained'):
        inferencer = VISInferencer('devis_r18_1xb4-demo_synthvis')
    assert inferencer.model.num_frames == 4
    assert inferencer.device.type == ('cuda' if torch.cuda.is_available() else 'cpu')


def test_pipeline_without_frame_loading_is_refused():
    cfg = Config.fromfile(CONFIG)
    cfg.test_dataloader.dataset.pipeline[0].frame_pipeline = [dict(type='Resize', scale=(8, 8))]
    with pytest.raises(ValueError, match='must begin with LoadFrame'):
        VISInferencer(cfg, device='cpu')


def write_video(path: Path, frames: list[np.ndarray]) -> None:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()


def test_video_command_draws_every_frame(tmp_path, capsys):
    write_video(tmp_path / 'in.mp4', make_frames(6))
    out = tmp_path / 'out.mp4'
    arguments = [str(tmp_path / 'in.mp4'), str(CONFIG), '--out', str(out), '--device', 'cpu']
    assert main([*arguments, '--score-thr', '0']) == 0
    video = cv2.VideoCapture(str(out))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 6
    assert main(arguments) == 1  # the output is there now
    assert 'exists already' in capsys.readouterr().err


def test_video_command_reads_a_folder(tmp_path):
    folder = tmp_path / 'frames'
    folder.mkdir()
    for index, frame in enumerate(make_frames(5)):
        cv2.imwrite(str(folder / f'{index}.png'), frame)
    out = tmp_path / 'out.mp4'
    assert main([str(folder), str(CONFIG), '--out', str(out), '--device', 'cpu']) == 0
    assert out.exists()


@pytest.mark.parametrize('content', [None, b'', b'no video'])
def test_video_command_names_a_bad_input_and_leaves_nothing(tmp_path, capsys, content):
    path = tmp_path / 'in.mp4'
    if content is not None:
        path.write_bytes(content)
    assert main([str(path), str(CONFIG), '--out', str(tmp_path / 'out.mp4')]) == 1
    assert 'in.mp4' in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == (['in.mp4'] if path.exists() else [])
