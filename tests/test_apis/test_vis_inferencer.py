"""Videos through the real demo config, with random weights."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from pycocotools import mask as mask_utils

from mmdevis.apis.frame_source import FrameError
from mmdevis.apis.video_command import main
from mmdevis.apis.vis_inferencer import VISInferencer
from mmdevis.utils.checkpoint import CheckpointError

CONFIG = Path(__file__).resolve().parents[2] / 'configs/devis/devis_r18_1xb2-demo_synthvis.py'


def make_frames(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, *size, 3), dtype=np.uint8))


@pytest.fixture(scope='module')
def inferencer() -> VISInferencer:
    torch.manual_seed(0)
    return VISInferencer(CONFIG, device='cpu')


@pytest.mark.parametrize('length', [1, 3, 4, 9])
def test_every_frame_once_and_in_order(inferencer, length):
    result = inferencer(make_frames(length))
    assert [frame.frame_index for frame in result.frames] == list(range(length))
    assert result.tracks
    sizes = {tuple(m['size']) for t in result.tracks for m in t.segmentations.values()}
    assert sizes == {(48, 64)}


def test_two_streams_at_once_give_what_each_gives_alone(inferencer):
    videos = [make_frames(6), [frame[::-1] for frame in make_frames(7)]]
    alone = [inferencer(video) for video in videos]
    streams = [inferencer.stream(video) for video in videos]
    found = [[], []]
    for index in (0, 1, 1, 0, 0, 1, 0, 1):
        found[index].append(next(streams[index]))
    for index in (0, 1):
        found[index] += list(streams[index])
        for mine, wanted in zip(found[index], alone[index].frames, strict=True):
            assert torch.equal(mine.scores, wanted.scores)
            assert mine.masks == wanted.masks


def test_stream_equals_prediction_of_the_whole_video(inferencer):
    from mmdet.structures import DetDataSample, TrackDataSample

    frames = make_frames(10)
    shape = frames[0].shape[:2]
    tensors = [torch.from_numpy(np.ascontiguousarray(f.transpose(2, 0, 1))) for f in frames]
    inputs = inferencer.model.data_preprocessor.clip(tensors)
    sample = TrackDataSample()
    meta = dict(img_shape=shape, ori_shape=shape)
    sample.video_data_samples = [DetDataSample(metainfo=meta) for _ in frames]
    with torch.no_grad():
        (whole,) = inferencer.model(inputs, [sample], mode='predict')
    streamed = inferencer(frames)
    for index, frame in enumerate(whole.video_data_samples):
        found = frame.pred_track_instances
        tracks = {t.track_id: t for t in streamed.tracks if index in t.segmentations}
        assert set(found.instances_id.tolist()) == set(tracks)
        for track_id, mask in zip(found.instances_id.tolist(), found.masks):
            wanted = mask_utils.decode(tracks[track_id].segmentations[index])
            assert np.array_equal(mask_utils.decode(mask), wanted)


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
    assert len(inferencer(make_frames(9), max_frames=5).frames) == 5


def test_frames_of_other_size_are_named(inferencer):
    frames = [*make_frames(2), make_frames(1, (32, 64))[0]]
    with pytest.raises(FrameError, match='frame 2'):
        inferencer(frames)


def test_checkpoint_of_another_config_is_refused(tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(dict(state_dict={'backbone.conv1.weight': torch.zeros(3, 3)}), path)
    with pytest.raises(CheckpointError, match='backbone.conv1.weight'):
        VISInferencer(CONFIG, path, device='cpu')


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
