"""The converter's command line on reduced models."""

import importlib.util
from pathlib import Path

import pytest
import torch
from mmengine.runner import load_checkpoint

TOOL = Path(__file__).parents[2] / 'tools' / 'model_converters' / 'devis_to_mmdevis.py'
VIDEO = 'devis_r50_4xb1-9e_youtubevis2019.py'
IMAGE = 'deformable-mask-detr_r50_8xb2-24e_coco.py'
ABLATIONS = (
    'ablations/devis_r50-ktemp0_4xb1-9e_youtubevis2019.py',
    'ablations/devis_r50-ktemp2_4xb1-9e_youtubevis2019.py',
    'ablations/deformable-vistr_r50-t6_4xb1-10e_youtubevis2019.py',
    'ablations/devis_r50-t3_4xb1-9e_youtubevis2019.py',
)
OTHERS = (
    'devis_r50_4xb1-12e_ovis.py',
    'devis_r101_4xb1-9e_youtubevis2019.py',
    'devis_swin-l-p4-w12-384-in21k_4xb1-9e_youtubevis2019.py',
    'deformable-mask-detr_r101_8xb2-24e_coco.py',
    'deformable-mask-detr_swin-l-p4-w12-384-in21k_8xb2-24e_coco.py',
)


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('devis_to_mmdevis', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(tool, source, target, cfg, *options):
    return tool.main([str(source), str(target), '--config', cfg.filename, *options])


@pytest.mark.parametrize(
    ('name', 'wrapped'),
    [
        (VIDEO, False),
        (IMAGE, False),
        *((name, True) for name in (VIDEO, IMAGE, *ABLATIONS, *OTHERS)),
    ],
)
def test_there_and_back(tool, reduced, capsys, name, wrapped):
    official = reduced.official(name)
    content = dict(model=official, epoch=3, optimizer={}) if wrapped else official
    source = reduced.save(content)
    cfg = reduced.config(name)
    ours, back = reduced.folder / 'ours.pth', reduced.folder / 'back.pth'
    assert run(tool, source, ours, cfg) == 0
    told = capsys.readouterr().out
    assert ('epoch, optimizer' in told) == wrapped

    model = reduced.model(name)
    load_checkpoint(model, str(ours), map_location='cpu', strict=True)
    classes = 80 if name.startswith('deformable') else cfg.model.bbox_head.num_classes
    assert model.bbox_head.cls_branches[0].out_features == classes

    assert run(tool, ours, back, cfg, '--reverse') == 0
    content = torch.load(back, weights_only=True)
    content = content['model'] if wrapped else content
    assert list(content) == list(official)
    assert all(torch.equal(content[key], value) for key, value in official.items())
    assert not list(reduced.folder.glob('.*'))


def test_trained_class_rows_go_back_to_their_coco_ids(tool, reduced):
    official = reduced.official(IMAGE)
    cfg = reduced.config(IMAGE)
    ours, back = reduced.folder / 'ours.pth', reduced.folder / 'back.pth'
    run(tool, reduced.save(dict(model=official)), ours, cfg)
    content = torch.load(ours, weights_only=True)
    content['state_dict']['bbox_head.cls_branches.5.bias'][79] = 7.0  # toothbrush, id 90
    torch.save(content, ours)
    run(tool, ours, back, cfg, '--reverse')
    bias = torch.load(back, weights_only=True)['model']['def_detr.class_embed.5.bias']
    expected = official['def_detr.class_embed.5.bias'].clone()
    expected[89] = 7.0
    assert torch.equal(bias, expected)


@pytest.mark.parametrize(
    ('name', 'other', 'named'),
    [
        (
            VIDEO,
            'devis_r50_4xb1-12e_ovis.py',
            ('def_detr.query_embed.weight: shape (60, 64), the config wants (180, 64)',),
        ),
        (
            VIDEO,
            ABLATIONS[0],
            ('temporal_sampling_offsets.weight: the model of the config has no such part',),
        ),
        (
            ABLATIONS[0],
            VIDEO,
            ('decoder.layers.5.cross_attn.temporal_attention_weights.bias: missing',),
        ),
        (VIDEO, IMAGE, ('temporal_embed: the model of the config has no such part',)),
        (VIDEO, OTHERS[1], ('backbone.0.body.layer3.22.conv3.weight: missing',)),
    ],
)
def test_wrong_config_is_refused(tool, reduced, capsys, name, other, named):
    source = reduced.save(dict(model=reduced.official(name)))
    target = reduced.folder / 'ours.pth'
    assert run(tool, source, target, reduced.config(other)) == 1
    told = capsys.readouterr().err
    assert all(text in told for text in named), told
    assert not target.exists()


def test_every_unknown_and_missing_key_is_named(tool, reduced, capsys):
    official = reduced.official(VIDEO)
    del official['mask_head.lay1.offset_conv.bias'], official['def_detr.query_embed.weight']
    official['def_detr.something.else'] = torch.zeros(1)
    source = reduced.save(dict(model=official))
    assert run(tool, source, reduced.folder / 'ours.pth', reduced.config(VIDEO)) == 1
    told = capsys.readouterr().err
    assert 'mask_head.lay1.offset_conv.bias: missing' in told
    assert 'def_detr.query_embed.weight: missing' in told
    assert 'def_detr.something.else: the model of the config has no such part' in told


def test_other_files_are_refused(tool, reduced, capsys):
    cfg, target = reduced.config(VIDEO), reduced.folder / 'ours.pth'
    ours = reduced.save(dict(state_dict=reduced.model(VIDEO).state_dict()))
    assert run(tool, ours, target, cfg) == 1
    assert 'one of ours' in capsys.readouterr().err

    assert run(tool, reduced.folder / 'missing.pth', target, cfg) == 1
    assert 'There is no checkpoint file' in capsys.readouterr().err

    cut = reduced.save(dict(model=reduced.official(VIDEO)), 'cut.pth')
    cut.write_bytes(cut.read_bytes()[:-2000])
    assert run(tool, cut, target, cfg) == 1
    assert 'incomplete' in capsys.readouterr().err
    assert not target.exists()


class Payload:
    """Something that is no data."""

    def __reduce__(self):
        return (print, ('this must never be printed',))


def test_code_in_a_checkpoint_is_not_run(tool, reduced, capsys):
    source = reduced.save(dict(model=reduced.official(VIDEO), optimizer=Payload()))
    capsys.readouterr()
    assert run(tool, source, reduced.folder / 'ours.pth', reduced.config(VIDEO)) == 1
    told = capsys.readouterr()
    assert 'never be printed' not in told.out and 'weights_only=False' in told.err


def test_coco_stage_and_video_config(tool, reduced, capsys):
    official = reduced.official(IMAGE)
    target = reduced.folder / 'start.pth'
    assert run(tool, reduced.save(dict(model=official)), target, reduced.config(VIDEO)) == 0
    told = capsys.readouterr().out
    assert 'temporal projections made of spatial ones' in told
    assert 'person <- person' in told
    model = reduced.model(VIDEO)
    load_checkpoint(model, str(target), map_location='cpu', strict=True)
    attention = model.encoder.layers[0].self_attn
    spatial = official['def_detr.transformer.encoder.layers.0.self_attn.attention_weights.bias']
    heads, levels, points = attention.num_heads, attention.num_levels, attention.num_points
    copies = attention.temporal_attention_weights.bias.view(heads, 5, levels, points)
    assert (copies == spatial.view(heads, 1, levels, points)).all()
