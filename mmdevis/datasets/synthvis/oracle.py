"""How much identity counts in a set: score true masks and classes with guessed identities.

Detection, segmentation and classification are perfect in every trial, so what is missing to 1.0 is
the price of identity alone::

    python -m mmdevis.datasets.synthvis.oracle data/synthvis/annotations/valid_ytvis.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from mmdevis.evaluation.functional import evaluate_ytvis

# One predicted track: class and mask by frame.
_Track = dict[str, Any]


def perfect(tracks: list[_Track], length: int, rng: np.random.Generator) -> list[_Track]:
    """Keep the true identities."""
    return [
        _track(t['category_id'], {i: s for i, s in enumerate(t['segmentations']) if s})
        for t in tracks
    ]


def shuffled(tracks: list[_Track], length: int, rng: np.random.Generator) -> list[_Track]:
    """Deal the objects of a class to its tracks at random, in every frame anew."""
    result = []
    for category in sorted({t['category_id'] for t in tracks}):
        group = [t for t in tracks if t['category_id'] == category]
        slots = [_track(category, {}) for _ in group]
        for frame in range(length):
            for slot, i in zip(slots, rng.permutation(len(group))):
                if group[i]['segmentations'][frame]:
                    slot['masks'][frame] = group[i]['segmentations'][frame]
        result.extend(slots)
    return result


def linked(
    tracks: list[_Track],
    length: int,
    rng: np.random.Generator,
    memory: int = 1,
    motion: bool = False,
    min_iou: float = 0.1,
) -> list[_Track]:
    """Link masks greedily, best overlap first, among masks of one class.

    Args:
        tracks: True tracks of a video.
        length: Number of frames.
        rng: Not used.
        memory: Frames after its last mask in which a track can still go on; 1 is frame to frame.
        motion: Move the last box on with the velocity of its centre and compare boxes, instead of
            comparing masks.
        min_iou: Least overlap of a link.

    Returns:
        The tracks that linking makes.
    """
    made: list[_Track] = []
    for frame in range(length):
        found = [
            (t['category_id'], t['segmentations'][frame])
            for t in tracks
            if t['segmentations'][frame]
        ]
        # The order of the truth must not help.
        found.sort(key=lambda item: str(item[1]['counts']))
        pairs = []
        for j, track in enumerate(made):
            if frame - max(track['masks']) > memory:
                continue
            for k, (category, rle) in enumerate(found):
                if category == track['category_id']:
                    pairs.append((_overlap(track['masks'], rle, frame, motion), j, k))
        old, new = set(), set()
        for overlap, j, k in sorted(pairs, key=lambda p: (-p[0], p[1], p[2])):
            if overlap >= min_iou and j not in old and k not in new:
                made[j]['masks'][frame] = found[k][1]
                old.add(j)
                new.add(k)
        made.extend(_track(c, {frame: r}) for k, (c, r) in enumerate(found) if k not in new)
    return made


def _track(category: int, masks: dict[int, Any]) -> _Track:
    return {'category_id': category, 'masks': masks}


def _overlap(masks: dict[int, Any], rle: Any, frame: int, motion: bool) -> float:
    """IoU of the last mask of a track with a mask of this frame, or of boxes after motion."""
    seen = sorted(masks)
    if not motion:
        return float(mask_utils.iou([rle], [masks[seen[-1]]], [0])[0, 0])
    box = mask_utils.toBbox(masks[seen[-1]])
    if len(seen) > 1:
        # Velocity over up to four frames: the box of a half hidden object jumps about.
        first = max(seen[-min(len(seen), 4)], seen[0])
        earlier = mask_utils.toBbox(masks[first])
        velocity = (box[:2] + box[2:] / 2 - earlier[:2] - earlier[2:] / 2) / (seen[-1] - first)
        box = np.concatenate([box[:2] + velocity * (frame - seen[-1]), box[2:]])
    return float(mask_utils.iou([mask_utils.toBbox(rle)], [box], [0])[0, 0])


TRIALS: dict[str, Callable[..., list[_Track]]] = {
    'perfect': perfect,
    'motion linking': lambda *args: linked(*args, memory=5, motion=True),
    'IoU linking, memory 5': lambda *args: linked(*args, memory=5),
    'IoU linking': linked,
    'random identity': shuffled,
}


def score_identity(truth: dict[str, Any], trial: str, seed: int = 0) -> dict[str, float]:
    """Score one way to guess identities.

    Args:
        truth: YouTube-VIS annotation of a split.
        trial: Key of ``TRIALS``.
        seed: Seed of the random trials.

    Returns:
        What ``mmdevis.evaluation.functional.evaluate_ytvis`` returns: AP, AP50, AP_heavy, ....

    Raises:
        KeyError: If the trial is unknown.
    """
    guess = TRIALS[trial]
    rng = np.random.default_rng(seed)
    predictions = []
    for video in truth['videos']:
        tracks = [a for a in truth['annotations'] if a['video_id'] == video['id']]
        length = len(video['file_names'])
        for track in guess(tracks, length, rng):
            if track['masks']:
                predictions.append(
                    {
                        'video_id': video['id'],
                        'category_id': track['category_id'],
                        # A fragment is worth less than a long track, as with any sensible tracker.
                        'score': len(track['masks']) / length,
                        'segmentations': [track['masks'].get(i) for i in range(length)],
                    }
                )
    return evaluate_ytvis(truth, predictions)


def main(argv: list[str] | None = None) -> None:
    """Print a table of all trials for an annotation file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('annotations', help='a {split}_ytvis.json of a SynthVIS set')
    args = parser.parse_args(argv)
    with open(args.annotations, encoding='utf-8') as file:
        truth = json.load(file)
    shown = ('AP', 'AP50', 'AP75', 'AP_slight', 'AP_moderate', 'AP_heavy')
    print(f'{"identity":24}' + ''.join(f'{name:>12}' for name in shown))
    for trial in TRIALS:
        score = score_identity(truth, trial)
        print(f'{trial:24}' + ''.join(f'{score[name]:12.3f}' for name in shown))


if __name__ == '__main__':
    main()
