"""Splitting a data set by videos."""

import hashlib
from collections.abc import Mapping
from typing import Any


def split_videos(
    data: Mapping[str, Any], num_minival: int, seed: int = 0
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Set videos aside for validation.

    The choice depends only on the ids and the seed, through a hash: neither on the order of the
    file nor on a random generator that may change. With a larger `num_minival` videos are only
    added.

    Args:
        data (Mapping): YouTube-VIS json or per-frame json with annotations.
        num_minival (int): Number of videos of the validation part.
        seed (int): Another seed gives another choice.

    Returns:
        tuple[dict, dict]: The rest and the validation part, in the format of `data` and with the
        same categories.

    Raises:
        ValueError: If one of the parts would have no video.
    """
    ids = [video['id'] for video in data['videos']]
    if not 0 < num_minival < len(ids):
        raise ValueError(
            f'cannot set {num_minival} of {len(ids)} videos aside: both parts need at least one.'
        )
    ranked = sorted(ids, key=lambda i: hashlib.sha256(f'{seed}:{i}'.encode()).digest())
    chosen = set(ranked[:num_minival])
    parts = []
    for keep in (set(ids) - chosen, chosen):
        part = dict(data)
        part['videos'] = [video for video in data['videos'] if video['id'] in keep]
        if 'images' in data:
            part['images'] = [image for image in data['images'] if image['video_id'] in keep]
            images = {image['id'] for image in part['images']}
            part['annotations'] = [a for a in data['annotations'] if a['image_id'] in images]
        else:
            part['annotations'] = [a for a in data['annotations'] if a['video_id'] in keep]
        parts.append(part)
    return parts[0], parts[1]
