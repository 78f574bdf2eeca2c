"""Reading annotation files into compact per-frame records."""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from mmengine import fileio
from pycocotools import mask as mask_utils

from .converters.ytvis import OCCLUSION_KEYS, compress_mask, ytvis_to_frames
from .errors import AnnotationError, MissingAnnotationsError
from .validation import is_per_frame, validate


def load_annotations(
    ann_file: str, *, require_annotations: bool, backend_args: dict | None = None
) -> dict[str, Any]:
    """Read and check an annotation file of either format.

    Args:
        ann_file (str): Path of a YouTube-VIS json or a per-frame json.
        require_annotations (bool): Whether the file must have annotations.
        backend_args (dict, optional): File backend as in `mmengine.fileio.get`.

    Returns:
        dict: The data set in the per-frame format.

    Raises:
        MissingAnnotationsError: If there is no such file.
        AnnotationError: If it is not json or a check fails; names file, video and key.
    """
    try:
        text = fileio.get_text(ann_file, backend_args=backend_args)
    except FileNotFoundError as error:
        raise MissingAnnotationsError(
            f'Annotation file {ann_file} does not exist. Check data_root and ann_file; '
            'docs/datasets.md lists the expected layout.'
        ) from error
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise AnnotationError(f'{ann_file}: is not valid json (truncated?): {error}') from error
    validate(data, ann_file, require_annotations=require_annotations)
    return data if is_per_frame(data) else ytvis_to_frames(data)


def select_classes(
    categories: list[dict], classes: list[str] | tuple[str, ...] | None, source: str
) -> dict[int, int]:
    """Map category ids to labels, by name.

    Args:
        categories (list[dict]): `categories` of the json, with `id` and `name`.
        classes (Sequence[str], optional): Wanted classes, in the order of the labels. Default: all
            of the file, by ascending id.
        source (str): Path of the file, for messages.

    Returns:
        dict[int, int]: Category id -> label, in the order of the labels. Other categories are left
        out.

    Raises:
        AnnotationError: If a wanted class is not in the file, or a name is there twice.
    """
    ids = {category['name']: category['id'] for category in categories}
    if len(ids) != len(categories):
        raise AnnotationError(f'{source}: "categories": a name is used twice; names must differ.')
    if classes is None:
        classes = sorted(ids, key=lambda name: ids[name])
    missing = [name for name in classes if name not in ids]
    if missing:
        raise AnnotationError(
            f'{source}: "categories": does not have the class(es) {", ".join(missing)}. Is it '
            f'another version of the data set? It has: {", ".join(ids)}. Leave the classes out '
            'to take those of the file.'
        )
    return {ids[name]: label for label, name in enumerate(classes)}


def parse_videos(data: Mapping[str, Any], cat2label: Mapping[int, int]) -> list[dict]:
    """Group a per-frame json into videos.

    Args:
        data (Mapping): Per-frame json that passed `validation.validate`.
        cat2label (Mapping[int, int]): Category id -> label; other categories are left out.

    Returns:
        list[dict]: Per video `video_id`, `video_length` and `images`: per frame, in order,
        `img_id`, `file_name`, `frame_id` (0-based position), `video_id`, `height`, `width` and
        `instances` as MMDetection's annotation loading wants them: `bbox` (x1, y1, x2, y2 in
        pixels), `bbox_label`, `mask` (compressed RLE), `instance_id`, `ignore_flag`, and
        `OCCLUSION_KEYS` where the file has them. Objects with an empty mask are left out.
    """
    objects = defaultdict(list)
    for obj in data.get('annotations') or []:
        if obj['category_id'] in cat2label:
            objects[obj['image_id']].append(obj)
    images = defaultdict(list)
    for image in data['images']:
        images[image['video_id']].append(image)
    videos = []
    for video_id, frames in images.items():
        frames.sort(key=lambda image: image['frame_id'])
        records = [
            _frame(image, index, objects[image['id']], cat2label)
            for index, image in enumerate(frames)
        ]
        videos.append({'video_id': video_id, 'video_length': len(records), 'images': records})
    return videos


def _frame(image: Mapping, index: int, objects: list[dict], cat2label: Mapping[int, int]) -> dict:
    height, width = image['height'], image['width']
    instances = []
    for obj in objects:
        rle = compress_mask(obj.get('segmentation'), height, width)
        if rle is None:
            continue
        # Not the file's own box, which other tools round differently or leave out.
        x, y, w, h = mask_utils.toBbox(rle).tolist()
        instance = {
            'bbox': [x, y, x + w, y + h],
            'bbox_label': cat2label[obj['category_id']],
            'mask': rle,
            'instance_id': obj['instance_id'],
            'ignore_flag': int(obj.get('iscrowd') or 0),
        }
        instance.update((key, obj[key]) for key in OCCLUSION_KEYS if key in obj)
        instances.append(instance)
    return {
        'img_id': image['id'],
        'file_name': image['file_name'],
        'frame_id': index,
        'video_id': image['video_id'],
        'height': height,
        'width': width,
        'instances': instances,
    }
