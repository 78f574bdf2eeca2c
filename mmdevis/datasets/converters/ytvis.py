"""From YouTube-VIS json to the per-frame json that MMDetection's video data sets read."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pycocotools import mask as mask_utils

OCCLUSION_KEYS = ('occlusion', 'occlusion_score', 'occlusion_level')


def compress_mask(mask: Any, height: int, width: int) -> dict | None:
    """Bring a mask into the one form that everything downstream reads fast.

    Args:
        mask (Any): None, run-length code (compressed or not), or a list of polygons in pixels.
        height (int): Height of the frame in pixels.
        width (int): Width of the frame in pixels.

    Returns:
        dict | None: Compressed run-length code with `size` [height, width] and `counts` (str: both
        json and MMDetection's annotation loading reject bytes); None where the mask is empty.
    """
    if not mask:
        return None
    if isinstance(mask, list):
        rle = mask_utils.merge(mask_utils.frPyObjects(mask, height, width))
    elif isinstance(mask['counts'], list):
        rle = mask_utils.frPyObjects(mask, height, width)
    else:
        rle = mask
    if mask_utils.area(rle) == 0:
        return None
    counts = rle['counts']
    return {
        'size': [height, width],
        'counts': counts.decode() if isinstance(counts, bytes) else counts,
    }


def ytvis_to_frames(
    data: Mapping[str, Any], progress: Callable[[Iterable], Iterable] = lambda items: items
) -> dict[str, Any]:
    """Convert a validated YouTube-VIS (or OVIS) json.

    An object whose mask in a frame is null or empty has no annotation in that frame. Frame ids
    count from 0, all other new ids from 1. What is known about
    occlusion (`OCCLUSION_KEYS`) is kept per object and frame.

    Args:
        data (Mapping): Parsed json that passed `validation.validate`. Not changed.
        progress (Callable): Wraps the list of videos, for example `tqdm.tqdm`.

    Returns:
        dict: `info`, `categories`, `videos`, `images`, `annotations` in the per-frame format.
        `annotations` is empty where the input has none.
    """
    tracks = defaultdict(list)
    for number, track in enumerate(data.get('annotations') or [], 1):
        tracks[track['video_id']].append((number, track))
    out: dict[str, Any] = {
        'info': data.get('info', {}),
        'categories': list(data['categories']),
        'videos': [],
        'images': [],
        'annotations': [],
    }
    for video in progress(data['videos']):
        height, width = video['height'], video['width']
        files = video['file_names']
        name = files[0].rpartition('/')[0]
        out['videos'].append({'id': video['id'], 'name': name, 'width': width, 'height': height})
        for frame_id, file_name in enumerate(files):
            image_id = len(out['images']) + 1
            out['images'].append(
                {
                    'id': image_id,
                    'video_id': video['id'],
                    'frame_id': frame_id,
                    'file_name': file_name,
                    'height': height,
                    'width': width,
                }
            )
            for instance_id, track in tracks[video['id']]:
                rle = compress_mask(track['segmentations'][frame_id], height, width)
                if rle is not None:
                    out['annotations'].append(
                        dict(
                            id=len(out['annotations']) + 1,
                            image_id=image_id,
                            video_id=video['id'],
                            instance_id=instance_id,
                            **_object(track, frame_id, rle),
                        )
                    )
    return out


def _object(track: Mapping, frame_id: int, rle: dict) -> dict:
    # Boxes and areas follow from the mask. Files disagree about rounding, or leave them out.
    obj = {
        'category_id': track['category_id'],
        'bbox': mask_utils.toBbox(rle).tolist(),
        'area': int(mask_utils.area(rle)),
        'segmentation': rle,
        'iscrowd': int(track.get('iscrowd') or 0),
    }
    # OVIS and SynthVIS: per object and frame, and a summary per object.
    for key in OCCLUSION_KEYS:
        value = track.get(key)
        if isinstance(value, list):
            value = value[frame_id]
        if value is not None:
            obj[key] = value
    return obj
