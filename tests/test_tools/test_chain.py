"""From images to a submission file through the real tools, with the two configs for small data."""

import importlib.util
import json
import uuid
import zipfile
from pathlib import Path

import pytest
import torch

from mmdevis.datasets.synthvis import SYNTHVIS_CLASSES, SynthVISConfig, generate_synthvis

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs' / 'devis'
NUM_CLASSES = len(SYNTHVIS_CLASSES)
(BASE,) = CONFIGS.glob('devis_mobilenetv2_1xb2-*_ytvis-style.py')

IMAGE = f"""
_base_ = '{CONFIGS}/deformable-mask-detr_mobilenetv2_1xb4-120e_coco-style.py'
model = dict(
    bbox_head=dict(
        num_classes={NUM_CLASSES}, pixel_classifier=dict(num_classes={NUM_CLASSES})
    )
)
metainfo = dict(classes={SYNTHVIS_CLASSES})
train_dataloader = dict(batch_size=2, dataset=dict(metainfo=metainfo, indices=4))
val_dataloader = dict(dataset=dict(metainfo=metainfo, indices=2))
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1), logger=dict(interval=1))
"""

# Nothing moves, so that the weights can be compared with what training started from. A model of one
# step is sure of nothing, so every instance may start a track.
VIDEO = f"""
_base_ = '{BASE}'
model = dict(bbox_head=dict(num_classes={NUM_CLASSES}), tracker=dict(birth_threshold=0.0))
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        ann_file='annotations/train.json', data_prefix=dict(img_path='train/JPEGImages')
    ),
)
val_dataloader = dict(
    dataset=dict(ann_file='annotations/valid.json', data_prefix=dict(img_path='valid/JPEGImages'))
)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=1, val_interval=2)
optim_wrapper = dict(optimizer=dict(lr=0.0))
default_hooks = dict(checkpoint=dict(interval=1), logger=dict(interval=1))
custom_hooks = [dict(type='StartFromImageHook', checkpoint='image/epoch_1.pth')]
test_evaluator = dict(outfile_prefix='results')
"""


def load_tool(path):
    spec = importlib.util.spec_from_file_location(f'chain_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


train, test = load_tool(ROOT / 'tools/train.py'), load_tool(ROOT / 'tools/test.py')
eval_results = load_tool(ROOT / 'tools/analysis_tools/eval_results.py')


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Data, and the two configs under names of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    config = SynthVISConfig(frames=6, size=(48, 64))
    generate_synthvis('data', {'train': 2, 'valid': 2}, config, workers=1, progress=False)
    monkeypatch.setenv('COCO_DATA', 'data/')
    monkeypatch.setenv('COCO_ANN', 'annotations/train.json')
    monkeypatch.setenv('COCO_IMAGES', 'train/JPEGImages/')
    monkeypatch.setenv('VIS_DATA', 'data/')
    for name, text in (('chain_image.py', IMAGE), ('chain_video.py', VIDEO)):
        # MMEngine keeps visualisers, and where they write, by their name.
        Path(name).write_text(f'{text}visualizer = dict(name={uuid.uuid4().hex!r})\n')
    return tmp_path


def scalars(work_dir):
    lines = [
        json.loads(line)
        for path in sorted(Path(work_dir).glob('*/**/*.json'))
        if path.name != 'results.json'
        for line in path.read_text().splitlines()
    ]
    return {key: value for line in lines for key, value in line.items()}


@pytest.mark.slow
def test_images_then_videos_then_a_submission(folder):
    assert train.main(['chain_image.py', '--work-dir', 'image']) == 0
    found = scalars('image')
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= set(found)
    assert torch.isfinite(torch.tensor(found['loss']))

    assert train.main(['chain_video.py', '--work-dir', 'video']) == 0
    log = next(Path('video').glob('*/*.log')).read_text()
    assert 'Started from an image model' in log
    image, video = (
        torch.load(path, weights_only=False)['state_dict']
        for path in ('image/epoch_1.pth', 'video/iter_1.pth')
    )
    shared = [
        name
        for name, value in video.items()
        if name in image and value.shape == image[name].shape and 'num_batches' not in name
    ]
    assert len(shared) > 0.8 * len(image)
    started = [name for name in shared if torch.equal(video[name], image[name])]
    # Only what the paper starts anew differs: queries and reference points; classes go by name.
    assert {name.split('.')[0] for name in set(shared) - set(started)} <= {
        'query_embedding',
        'reference_points_fc',
    }
    temporal = 'encoder.layers.0.self_attn.temporal_attention_weights.bias'
    spatial = 'encoder.layers.0.self_attn.attention_weights.bias'
    heads, frames = 8, 4
    repeated = video[spatial].view(heads, 1, -1).expand(-1, frames - 1, -1).flatten()
    assert torch.equal(video[temporal], repeated)

    assert test.main(['chain_video.py', 'video/iter_1.pth', '--work-dir', 'test']) == 0
    online = scalars('test')
    with zipfile.ZipFile('results.submission_file.zip') as archive:
        tracks = json.loads(archive.read('results.json'))
    truth = json.loads(Path('data/annotations/valid_ytvis.json').read_text())
    assert {track['video_id'] for track in tracks} <= {v['id'] for v in truth['videos']}
    assert all(len(track['segmentations']) == 6 for track in tracks) and tracks
    words = ['results.submission_file.zip', 'data/annotations/valid_ytvis.json']
    assert eval_results.main([*words, '--json', 'offline.json']) == 0
    offline = json.loads(Path('offline.json').read_text())
    for name in ('AP', 'AP50', 'AR1', 'AR10'):
        assert online[f'youtube_vis/{name}'] == pytest.approx(offline[name], abs=1e-12)
