"""Lays out the data of a table: SynthVIS made by seed, or a data set that somebody has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmdevis.datasets.converters import split_videos
from mmdevis.datasets.synthvis import SynthVISConfig, generate_synthvis
from mmdevis.utils.files import read_json, write_text


def make_data(data: dict[str, Any]) -> Path:
    """Makes the main set and the subsets of a table, unless they are there.

    Args:
        data: `data` of the table file. With `source` it names a folder with a data set in
            YouTube-VIS's layout (see `link_data_set`); without, settings of SynthVIS.

    Returns:
        Their folder: the main set is in `main` and each subset beside it.

    Raises:
        FileNotFoundError: The data set is not in its folder.
        ValueError: It has too few videos, an annotation file cannot be read, or the folder holds
            another set.
    """
    root = Path(data['root'])
    if 'source' in data:
        if data.get('subsets'):
            raise ValueError('subsets are made with SynthVIS; a data set with `source` has none')
        link_data_set(
            root / 'main', Path(data['source']), data['annotations'], data['frames'], data['valid']
        )
        return root
    sets = {'main': (data['splits'], {}, data['seed'])}
    for number, (name, settings) in enumerate(data['subsets'].items(), start=1):
        changed = {k: v for k, v in settings.items() if k != 'videos'}
        sets[name] = ({'test': settings['videos']}, changed, data['seed'] + number)
    for name, (splits, settings, seed) in sets.items():
        config = SynthVISConfig.preset(data['difficulty'], **{**data['settings'], **settings})
        generate_synthvis(root / name, splits, config, seed=seed)
    return root


def link_data_set(
    root: Path, source: Path, annotations: dict[str, str], frames: str, valid: int
) -> None:
    """Lays out a data set as the runs expect it, with links to its frames, unless it is there.

    Args:
        root: Folder to fill: `annotations/SPLIT_ytvis.json` and `SPLIT/JPEGImages` for `train`,
            `valid` and `test`.
        source: Folder of the data set.
        annotations: Annotation files of `train` and `test`, relative to `source`.
        frames: Folder of all frames, relative to `source`.
        valid: Training videos to hold out for `valid`.

    Raises:
        FileNotFoundError: A file or the folder of frames is missing.
        ValueError: There are too few training videos, an annotation file cannot be read, or `root`
            holds another set.
    """
    for part in (*annotations.values(), frames):
        if not (source / part).exists():
            raise FileNotFoundError(
                f'{source / part} is missing: name the folder of the data set with '
                '--set data.source=FOLDER'
            )
    train, held_out = split_videos(read_json(source / annotations['train']), valid)
    test = read_json(source / annotations['test'])
    for split, content in (('train', train), ('valid', held_out), ('test', test)):
        path, text = root / f'annotations/{split}_ytvis.json', json.dumps(content)
        link, target = root / split / 'JPEGImages', (source / frames).resolve()
        if path.exists() and link.resolve() == target and path.read_text() == text:
            continue
        if path.exists() or link.is_symlink():
            raise ValueError(
                f'{root} holds another data set: remove it, or choose another folder with '
                '--set data.root=FOLDER'
            )
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target, target_is_directory=True)
        write_text(path, text)
