"""Write a SynthVIS set to disk: frames, annotations and a manifest, all or nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from mmdevis.datasets.converters.ytvis import ytvis_to_frames

from .annotations import annotate_video, youtube_vis_json
from .config import SynthVISConfig
from .render import render_scene
from .scene import sample_scene, video_rng

# Raise it whenever the same seed and settings give other bytes than before.
GENERATOR_VERSION = 1
MANIFEST = 'manifest.json'
# Up to this many frames a pool of processes costs more than it saves.
_POOL_PAYS_FROM = 400


@dataclass(frozen=True)
class SynthVISResult:
    """Where a set is and what is in it.

    Attributes:
        out_dir: Folder of the set.
        reused: True if the set was there already, with the same settings, and nothing was written.
        manifest: Content of its manifest: generator, version, seed, config, and counts per split.
    """

    out_dir: Path
    reused: bool
    manifest: dict[str, Any]


def generate_synthvis(
    out_dir: str | os.PathLike[str],
    splits: Mapping[str, int],
    config: SynthVISConfig | None = None,
    *,
    seed: int = 0,
    workers: int | None = None,
    force: bool = False,
    progress: bool = True,
) -> SynthVISResult:
    """Make a SynthVIS set, or find that it is there already.

    Video i of a split depends on nothing but the settings, the seed, the name of the split and i:
    neither the number of videos nor that of workers changes it. Layout::

        OUT/manifest.json
        OUT/annotations/{split}.json          per frame, for MMDetection's video data sets
        OUT/annotations/{split}_ytvis.json    YouTube-VIS
        OUT/{split}/JPEGImages/{video}/{frame}.jpg

    Args:
        out_dir: Folder to make. It appears, complete, at the end of the work.
        splits: Number of videos by name of split.
        config: Settings; the standard difficulty if None.
        seed: Seed, >= 0.
        workers: Processes; None takes one per CPU core (8 at most), 1 works in this process.
        force: Replace a SynthVIS set with other settings. Any other non-empty folder is never
            touched.
        progress: Show a bar with the time left.

    Returns:
        Where the set is, whether it was reused, and its manifest.

    Raises:
        ValueError: If an argument is out of range.
        FileExistsError: If ``out_dir`` holds something else and may not be replaced.
    """
    config = config or SynthVISConfig()
    _check_arguments(splits, seed, workers)
    out = Path(os.path.abspath(os.fspath(out_dir)))
    request = {
        'generator': 'SynthVIS',
        'version': GENERATOR_VERSION,
        'seed': seed,
        'config': config.to_dict(),
        'videos': {name: int(count) for name, count in splits.items()},
    }
    found = _existing_set(out, request, force)
    if found is not None:
        return SynthVISResult(out_dir=out, reused=True, manifest=found)

    out.parent.mkdir(parents=True, exist_ok=True)
    building = out.parent / f'.{out.name}.building-{os.getpid()}'
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir()
        counts = _write_splits(building, splits, config, seed, workers, progress)
        manifest = {**request, 'counts': counts}
        _write_json(building / MANIFEST, manifest, indent=1)
        _put_in_place(building, out, force)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return SynthVISResult(out_dir=out, reused=False, manifest=manifest)


def _check_arguments(splits: Mapping[str, int], seed: int, workers: int | None) -> None:
    """Check what the settings do not cover; raises ValueError."""
    if not splits:
        raise ValueError(
            'SynthVIS: no split to make, expected for example {"train": 60, "valid": 20}'
        )
    for name, count in splits.items():
        if not re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9_-]*', name) or name == 'annotations':
            raise ValueError(
                f'SynthVIS: {name!r} cannot name a split, expected letters, digits, _ and -, '
                'and not "annotations"'
            )
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(
                f'SynthVIS: split {name} has {count!r} videos, expected an integer >= 1'
            )
    if any(name.endswith('_ytvis') and name[: -len('_ytvis')] in splits for name in splits):
        raise ValueError(
            'SynthVIS: a split may not have the name of another one followed by _ytvis'
        )
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f'SynthVIS: seed is {seed!r}, expected an integer >= 0')
    if workers is not None and workers < 1:
        raise ValueError(f'SynthVIS: workers is {workers!r}, expected an integer >= 1')


def _existing_set(out: Path, request: Mapping[str, Any], force: bool) -> dict[str, Any] | None:
    """Return the manifest of the set that is asked for if it is there, None if it must be made.

    Raises:
        FileExistsError: If something else is in the way.
    """
    if not out.exists():
        return None
    if not out.is_dir():
        raise FileExistsError(f'{out} is a file; choose another output folder')
    if not any(out.iterdir()):
        return None
    manifest = _read_manifest(out)
    if manifest is None:
        raise FileExistsError(
            f'{out} is not empty and holds no SynthVIS set ({MANIFEST} is missing or not ours); '
            'choose another output folder, or empty this one yourself'
        )
    differing = [key for key, value in request.items() if manifest.get(key) != value]
    if not differing and _is_complete(out, manifest):
        return manifest
    if force:
        return None
    why = f'with another {", ".join(differing)}' if differing else 'but files of it are missing'
    raise FileExistsError(
        f'{out} holds a SynthVIS set {why}; '
        'use --force (force=True) to replace it, or another output folder'
    )


def _read_manifest(out: Path) -> dict[str, Any] | None:
    """Read the manifest of a SynthVIS set; None if there is none or it is not ours."""
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    ours = isinstance(manifest, dict) and manifest.get('generator') == 'SynthVIS'
    return manifest if ours else None


def _is_complete(out: Path, manifest: Mapping[str, Any]) -> bool:
    """Tell whether every annotation file and the right number of frames are there."""
    suffix = '.' + manifest['config']['image_format']
    for split, count in manifest['counts'].items():
        names = (f'{split}.json', f'{split}_ytvis.json')
        if not all((out / 'annotations' / name).is_file() for name in names):
            return False
        frames = sum(1 for _ in (out / split / 'JPEGImages').glob(f'*/*{suffix}'))
        if frames != count['frames']:
            return False
    return True


def _write_splits(
    folder: Path,
    splits: Mapping[str, int],
    config: SynthVISConfig,
    seed: int,
    workers: int | None,
    progress: bool,
) -> dict[str, dict[str, int]]:
    """Write frames and annotations of every split; returns what each contains."""
    jobs = [(split, index) for split, count in splits.items() for index in range(count)]
    tracks: dict[str, list[tuple[list[str], list[dict[str, Any]]]]] = {name: [] for name in splits}
    work = partial(_make_video, folder=folder, config=config, seed=seed)
    with tqdm(total=len(jobs), desc='SynthVIS', unit='video', disable=not progress) as bar:
        for (split, _), video in zip(jobs, _map_in_order(work, jobs, config, workers)):
            tracks[split].append(video)
            bar.update()
    (folder / 'annotations').mkdir()
    counts = {}
    for split, videos in tracks.items():
        whole = youtube_vis_json(videos, config, f'SynthVIS {split}, seed {seed}')
        _write_json(folder / 'annotations' / f'{split}_ytvis.json', whole)
        _write_json(folder / 'annotations' / f'{split}.json', ytvis_to_frames(whole))
        counts[split] = {
            'videos': len(videos),
            'frames': sum(len(names) for names, _ in videos),
            'objects': len(whole['annotations']),
        }
    return counts


def _map_in_order(
    work: Any, jobs: list[tuple[str, int]], config: SynthVISConfig, workers: int | None
) -> Iterator[tuple[list[str], list[dict[str, Any]]]]:
    """Apply work to the jobs, here or in a pool, and yield results in the order of the jobs."""
    if workers is None:
        workers = min(os.cpu_count() or 1, 8)
        if len(jobs) * config.frames < _POOL_PAYS_FROM:
            workers = 1
    # Without fork every worker would import all frameworks first, which takes longer than the work.
    if min(workers, len(jobs)) <= 1 or 'fork' not in multiprocessing.get_all_start_methods():
        yield from map(work, jobs)
        return
    with multiprocessing.get_context('fork').Pool(min(workers, len(jobs)), _start_worker) as pool:
        yield from pool.imap(work, jobs, chunksize=2)


def _start_worker() -> None:
    """Keep OpenCV to one thread: there is a process for each core already."""
    cv2.setNumThreads(0)


def _make_video(
    job: tuple[str, int], folder: Path, config: SynthVISConfig, seed: int
) -> tuple[list[str], list[dict[str, Any]]]:
    """Draw and write one video; returns its file names and its tracks."""
    split, index = job
    scene = sample_scene(config, video_rng(seed, split, index))
    name = f'{split}_{index:05d}'
    images = folder / split / 'JPEGImages'
    (images / name).mkdir(parents=True)
    file_names, masks, full_areas = [], [], []
    for t, frame in enumerate(render_scene(scene, config, video_rng(seed, split, index, 1))):
        file_name = f'{name}/{t:05d}.{config.image_format}'
        _write_image(images / file_name, frame.image, config)
        file_names.append(file_name)
        masks.append(frame.masks)
        full_areas.append(frame.full_areas)
    labels = [item.label for item in scene.objects]
    return file_names, annotate_video(masks, full_areas, labels, config)


def _write_image(path: Path, image: np.ndarray, config: SynthVISConfig) -> None:
    """Encode an (H, W, 3) uint8 RGB picture and write it."""
    options = (
        [cv2.IMWRITE_JPEG_QUALITY, config.jpeg_quality] if config.image_format == 'jpg' else []
    )
    good, data = cv2.imencode(f'.{config.image_format}', image[..., ::-1], options)
    if not good:
        raise OSError(f'OpenCV could not encode {path.name}')
    path.write_bytes(data.tobytes())


def _write_json(path: Path, content: Mapping[str, Any], indent: int | None = None) -> None:
    separators = (',', ':') if indent is None else None
    path.write_text(
        json.dumps(content, indent=indent, separators=separators) + '\n', encoding='utf-8'
    )


def _put_in_place(building: Path, out: Path, replace: bool) -> None:
    """Give the finished folder its name; with replace, a set that is there goes out of the way.

    Raises:
        FileExistsError: If something has appeared there meanwhile that may not be replaced.
    """
    if replace and _read_manifest(out) is not None:
        old = out.parent / f'.{out.name}.old-{os.getpid()}'
        os.replace(out, old)
        os.replace(building, out)
        shutil.rmtree(old, ignore_errors=True)
        return
    try:
        os.replace(building, out)
    except OSError as error:
        raise FileExistsError(
            f'{out} has been filled by someone else meanwhile; run again to use it if it fits'
        ) from error
