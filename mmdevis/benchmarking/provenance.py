"""Where, when, with what and on what a run was made."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from pathlib import Path

import torch
from mmengine.config import Config

from mmdevis.utils.env import collect

ROOT = Path(__file__).resolve().parents[2]


def describe() -> dict[str, str]:
    """Commit, time, versions and machine of this process."""
    git = subprocess.run(
        ['git', 'describe', '--always', '--dirty'], cwd=ROOT, capture_output=True, text=True
    )
    return {
        'commit': git.stdout.strip() or 'not a git checkout',
        'written': time.strftime('%Y-%m-%d %H:%M'),
        'threads': str(torch.get_num_threads()),
        **{k: v for k, v in collect().items() if k not in ('mmdevis', 'usable')},
    }


def fingerprint(cfg: Config, data: Path, folder: Path) -> dict[str, str]:
    """Hashes of what a run is made of, by which one with other settings is recognised.

    Args:
        cfg: Config of the run. Where its folders are does not matter.
        data: Folder of its data; the annotation files count.
        folder: Folder of the run.

    Returns:
        Hash of the config and of the annotations.
    """
    content = cfg.to_dict()
    content.pop('resume', None)
    text = json.dumps(content, sort_keys=True, default=str)
    for place in (folder.parent, data):
        text = text.replace(str(place), '')
    annotations = hashlib.sha256()
    for path in sorted((data / 'annotations').glob('*_ytvis.json')):
        annotations.update(path.name.encode() + path.read_bytes())
    return {
        'config': hashlib.sha256(text.encode()).hexdigest(),
        'annotations': annotations.hexdigest(),
    }
