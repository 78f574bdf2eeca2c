import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.structures import DetDataSample, TrackDataSample

from mmdevis.utils.losses import NonFiniteLossError, check_finite, describe_samples


def frame(index, video=7):
    return DetDataSample(
        metainfo=dict(video_id=video, frame_id=index, img_path=f'video{video}/{index:05d}.jpg')
    )


def track(*frames):
    sample = TrackDataSample()
    sample.video_data_samples = list(frames)
    return sample


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=5))
def test_finite_losses_pass(values):
    check_finite({'a': torch.tensor(values), 'b': [torch.tensor(value) for value in values]})


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_message_names_loss_and_sample(bad):
    losses = {
        'loss_cls': torch.tensor(1.0, requires_grad=True),
        'd0.loss_dice': torch.tensor(bad, requires_grad=True),
        'loss_list': [torch.tensor(0.0), torch.tensor([0.0, bad])],
    }
    with pytest.raises(NonFiniteLossError) as raised:
        check_finite(losses, [track(frame(0), frame(4))])
    message = str(raised.value)
    assert f'd0.loss_dice = [{bad}]' in message
    assert f'loss_list[1] = [0.0, {bad}]' in message
    assert 'loss_cls' not in message
    assert 'video 7, frames 0, 4 (video7/00000.jpg .. video7/00004.jpg)' in message


@pytest.mark.parametrize(
    ('samples', 'expected'),
    [
        (None, []),
        ([], []),
        (frame(2), ['video 7, frames 2 (video7/00002.jpg)']),
        (
            [DetDataSample(metainfo=dict(img_id=12, img_path='a.jpg')), DetDataSample()],
            ['image 12 (a.jpg)', 'a sample without metainfo'],
        ),
        ([track(frame(0, 1)), track(frame(0, 2))], None),
    ],
)
def test_describe_samples(samples, expected):
    found = describe_samples(samples)
    assert found == expected if expected is not None else len(found) == 2


def test_losses_without_elements_and_other_values_do_not_matter():
    check_finite({'empty': torch.zeros(0), 'accuracy': 0.5, 'name': 'x'})
    check_finite({})
