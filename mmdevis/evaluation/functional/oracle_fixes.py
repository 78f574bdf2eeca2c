"""What predictions would be if one kind of error did not exist.

Each fix takes the tracks of a video and returns its predictions without that error, told from the
ground truth. `error_breakdown` scores them. The idea is TIDE's (Bolya et al., "TIDE: A General
Toolbox for Identifying Object Detection Errors", arXiv 2008.08115), here for tracks of masks, which
adds identity and frames that are missing or too many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np

from .video_tracks import FOUND_IOU, VideoTracks


def fix_classification(video: VideoTracks) -> list[dict]:
    """Every prediction gets the class of the object that it is about.

    Of several then for one object (models give a trajectory under several classes), those that got
    another class yield to the best one, and so does the best of those that had the right class.
    """
    dts = [dict(t) for t in video.dts]
    dropped: set[int] = set()
    for g, annotation in enumerate(video.gts):
        wrong = [d for d in np.flatnonzero(video.owner == g) if not video.same_class[d, g]]
        if not wrong:
            continue
        rivals = video.ranked(wrong + [video.best[g]] if g in video.best else wrong)
        dropped.update(rivals[1:])
        dts[rivals[0]]['category_id'] = annotation['category_id']
    return [t for d, t in enumerate(dts) if d not in dropped]


def fix_identity(video: VideoTracks) -> list[dict]:
    """Masks that show an object go to one track of that object, frame by frame.

    The track is the one that shows the object in most frames and keeps its other masks; it gets the
    highest score of those that gave masks to it. Tracks that gave all their masks vanish.
    """
    frames_of: dict[int, dict[int, int]] = defaultdict(dict)  # object -> frame -> prediction
    for frame, d in np.argwhere(video.claims >= 0).tolist():
        frames_of[int(video.claims[frame, d])][frame] = d
    masks = [list(t['segmentations']) for t in video.dts]
    scores = [t['score'] for t in video.dts]

    taken: set[int] = set()
    homes: dict[int, int | None] = {}
    # Long objects choose first; what is left without a track of its own gets a new one.
    for g in sorted(frames_of, key=lambda g: -len(frames_of[g])):
        givers = list(frames_of[g].values())
        homes[g] = next(
            (d for d in sorted(set(givers), key=givers.count, reverse=True) if d not in taken), None
        )
        if homes[g] is not None:
            taken.add(homes[g])
    for g, frames in frames_of.items():
        for frame, d in frames.items():
            if d != homes[g]:
                masks[d][frame] = None
    new = []
    for g, frames in frames_of.items():
        home = homes[g]
        score = max(video.dts[d]['score'] for d in frames.values())
        if home is None:
            track: list = [None] * video.num_frames
            new.append({**video.dts[next(iter(frames.values()))], 'score': score})
            new[-1]['segmentations'] = track
        else:
            track = masks[home]
            scores[home] = score
        for frame, d in frames.items():
            track[frame] = video.dts[d]['segmentations'][frame]
    old = [
        {**t, 'score': score, 'segmentations': segmentations}
        for t, score, segmentations in zip(video.dts, scores, masks)
        if any(segmentations) or not any(t['segmentations'])
    ]
    return old + new


def _true_masks_where(video: VideoTracks, wanted: np.ndarray) -> list[dict]:
    """Gives predictions the mask of their object in the frames (F, D) that are `wanted`."""
    dts = []
    for d, t in enumerate(video.dts):
        masks = list(t['segmentations'])
        for frame in np.flatnonzero(wanted[:, d]):
            masks[frame] = video.gts[video.owner[d]]['segmentations'][frame]
        dts.append({**t, 'segmentations': masks})
    return dts


def _of_owner(video: VideoTracks, values: np.ndarray) -> np.ndarray:
    """Takes (F, D) out of (F, D, G), with zeros where a prediction is about no object."""
    picked = np.zeros(values.shape[:2], dtype=values.dtype)
    related = np.flatnonzero(video.owner >= 0)
    picked[:, related] = values[:, related, video.owner[related]]
    return picked


def _both_visible(video: VideoTracks) -> np.ndarray:
    visible = np.broadcast_to(video.gt_visible[:, None], video.frame_ious.shape)
    return video.dt_visible & _of_owner(video, visible)


def fix_localisation(video: VideoTracks) -> list[dict]:
    """True masks where the box around the mask is off (IoU below 0.5).

    A mask that shows another object well is a matter of identity.
    """
    of_another = (video.claims >= 0) & (video.claims != video.owner)
    off = _of_owner(video, video.box_ious) < FOUND_IOU
    return _true_masks_where(video, _both_visible(video) & off & ~of_another)


def fix_mask(video: VideoTracks) -> list[dict]:
    """True masks where the box is right, so that only the outline was wrong."""
    return _true_masks_where(
        video, _both_visible(video) & (_of_owner(video, video.box_ious) >= FOUND_IOU)
    )


def fix_missed(video: VideoTracks) -> list[dict]:
    """Objects without a prediction get a perfect one, and tracks the frames that they lack."""
    dts = [{**t, 'segmentations': list(t['segmentations'])} for t in video.dts]
    top = max([1.0, *(t['score'] for t in dts)])
    for g, annotation in enumerate(video.gts):
        d = video.best.get(g)
        if d is None:
            keys = ('video_id', 'category_id', 'segmentations')
            dts.append({**{key: annotation[key] for key in keys}, 'score': top})
            continue
        for frame in np.flatnonzero(video.gt_visible[:, g] & ~video.dt_visible[:, d]):
            dts[d]['segmentations'][frame] = annotation['segmentations'][frame]
    return dts


def fix_false_positives(video: VideoTracks) -> list[dict]:
    """Tracks about no object vanish, and masks in frames where the object is absent."""
    dts = []
    for d, t in enumerate(video.dts):
        g = video.owner[d]
        if g >= 0:
            masks = [
                m if video.gt_visible[f, g] else None for f, m in enumerate(t['segmentations'])
            ]
            dts.append({**t, 'segmentations': masks})
    return dts


def fix_duplicates(video: VideoTracks) -> list[dict]:
    """Tracks of an object that a better track of its class already stands for vanish."""
    return [
        t
        for d, t in enumerate(video.dts)
        if not (video.right_class(d) and video.found_by_better(d))
    ]


FIXES: dict[str, Callable[[VideoTracks], list[dict]]] = {
    'classification': fix_classification,
    'identity': fix_identity,
    'localisation': fix_localisation,
    'mask': fix_mask,
    'missed': fix_missed,
    'false positives': fix_false_positives,
    'duplicates': fix_duplicates,
}
"""All fixes, in the order in which the breakdown applies them one after another."""
