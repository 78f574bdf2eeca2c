"""Checks of annotation files, with messages for the person who has to repair the file.

Two json formats are understood. *YouTube-VIS*: `videos` with `file_names`, and one annotation per
track with a list of masks. *Per-frame* (COCO-VID style, what MMDetection's video data sets read):
`images` with `video_id` and `frame_id`, and one annotation per object and frame.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .errors import AnnotationError
from .value_kinds import PER_FRAME, YTVIS, occlusion_problem, wrong_kinds

MAX_SHOWN = 10


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an annotation file.

    Attributes:
        source (str): Path of the annotation file.
        where (str): The part of it, for example `video 3 (dog_01), annotation 17`; may be empty.
        key (str): Json key that holds the wrong value.
        what (str): What is wrong, what was expected and what to do.
    """

    source: str
    where: str
    key: str
    what: str

    def __str__(self) -> str:
        place = f'{self.source}: {self.where}' if self.where else self.source
        return f'{place}: "{self.key}": {self.what}'


def is_per_frame(data: Mapping[str, Any]) -> bool:
    """Whether `data` is a per-frame json (has `images`) and not a YouTube-VIS json."""
    return 'images' in data


def video_name(video: Mapping[str, Any]) -> str:
    """Name of a video for messages, as `video 3 (dog_01)`."""
    files = video.get('file_names') or ['']
    name = video.get('name') or str(files[0]).rpartition('/')[0]
    return f'video {video.get("id")}' + (f' ({name})' if name else '')


def validate(data: Any, source: str, *, require_annotations: bool) -> None:
    """Raise if a data set read from json cannot be used.

    Args:
        data (Any): The parsed json.
        source (str): Path of the file, for the message.
        require_annotations (bool): Whether tracks are needed (training) or may be absent (test).

    Raises:
        AnnotationError: With the first problems, one per line.
    """
    found = find_problems(data, source, require_annotations=require_annotations)
    problems = list(islice(found, MAX_SHOWN + 1))
    if problems:
        lines = [str(problem) for problem in problems[:MAX_SHOWN]]
        if len(problems) > MAX_SHOWN:
            tool = 'tools/dataset_converters/check_dataset.py'
            lines.append(f'... and more: {tool} lists all of them.')
        raise AnnotationError('\n'.join(lines))


def find_problems(data: Any, source: str, *, require_annotations: bool) -> Iterator[Problem]:
    """All problems of a data set read from json, in the order of the file.

    Args:
        data (Any): The parsed json, YouTube-VIS or per-frame.
        source (str): Path of the file, for the messages.
        require_annotations (bool): Whether missing annotations are a problem.

    Yields:
        Problem: One per wrong value. Checks that need a broken part are left out.
    """
    if not isinstance(data, Mapping):
        kind = type(data).__name__
        yield Problem(source, '', '', f'holds a {kind}; expected an object with "videos".')
        return
    per_frame = is_per_frame(data)
    usable = True
    for where, key, what in wrong_kinds(data, PER_FRAME if per_frame else YTVIS):
        yield Problem(source, where, key, what)
        usable = False
    for key in ('images', 'categories') if per_frame else ('videos', 'categories'):
        if data.get(key) in (None, []):
            yield Problem(source, '', key, 'is missing or empty; expected a list of objects.')
            usable = False
    if not usable:
        return
    yield from _duplicates(data['categories'], source, 'categories')
    if data.get('annotations') is None and require_annotations:
        yield Problem(
            source,
            '',
            'annotations',
            'is null or missing, so nothing can be learned from this file. The annotations of '
            'this split are probably not public: train on another split, or use this one as a '
            'test set (test_mode=True), which writes a submission file.',
        )
    yield from _duplicates(data.get('annotations') or [], source, 'annotations')
    if per_frame:
        yield from _duplicates(data['images'], source, 'images')
        yield from _check_images(data, source)
    else:
        yield from _duplicates(data['videos'], source, 'videos')
        yield from _check_videos(data, source)


def _duplicates(entries: Iterable[Mapping], source: str, key: str) -> Iterator[Problem]:
    counts = Counter(entry.get('id') for entry in entries)
    if counts.pop(None, 0):
        yield Problem(source, '', key, 'has an entry without "id"; every entry needs one.')
    for value, count in counts.items():
        if count > 1:
            yield Problem(source, '', key, f'id {value} is used {count} times; ids must be unique.')


def _check_videos(data: Mapping, source: str) -> Iterator[Problem]:
    videos: dict[Any, Mapping] = {}
    for video in data['videos']:
        where = video_name(video)
        files, length = video.get('file_names'), video.get('length')
        if not isinstance(files, list) or not files:
            yield Problem(source, where, 'file_names', 'is empty: a video needs at least 1 frame.')
            continue
        if length is not None and length != len(files):
            what = f'is {length}, but "file_names" lists {len(files)} frames.'
            yield Problem(source, where, 'length', what)
        bad_size = _size_problem(video)
        if bad_size:
            yield Problem(source, where, *bad_size)
            continue
        videos[video.get('id')] = video
    known = {video.get('id') for video in data['videos']}
    categories = {category.get('id') for category in data['categories']}
    for track in data.get('annotations') or []:
        video = videos.get(track.get('video_id'))
        where = f'annotation {track.get("id")}'
        if track.get('video_id') not in known:
            what = f'{track.get("video_id")} is not the id of any video.'
            yield Problem(source, where, 'video_id', what)
        elif video is not None:
            yield from _check_track(track, video, categories, source)


def _check_track(track: Mapping, video: Mapping, categories: set, source: str) -> Iterator[Problem]:
    where = f'{video_name(video)}, annotation {track.get("id")}'
    yield from _check_category(track, categories, source, where)
    length = len(video['file_names'])
    for key in ('segmentations', 'bboxes', 'areas'):
        values = track.get(key)
        if values is None and key != 'segmentations':
            continue
        if not isinstance(values, list) or len(values) != length:
            count = f'has {len(values)} entries' if isinstance(values, list) else 'is no list'
            what = f'{count}; expected {length}, one per frame (null where the object is absent).'
            yield Problem(source, where, key, what)
        elif key == 'segmentations':
            for frame, mask in enumerate(values):
                what = _mask_problem(mask, video['height'], video['width'])
                if what:
                    yield Problem(source, f'{where}, frame {frame}', key, what)
    bad_occlusion = occlusion_problem(track, length)
    if bad_occlusion:
        yield Problem(source, where, *bad_occlusion)


def _check_images(data: Mapping, source: str) -> Iterator[Problem]:
    sizes: dict[Any, tuple] = {}
    frames: dict[Any, set] = defaultdict(set)
    images: dict[Any, Mapping] = {}
    for image in data['images']:
        where = f'image {image.get("id")} ({image.get("file_name")})'
        video_id = image.get('video_id')
        if video_id is None:
            what = (
                'is missing: this is a data set of single images. Use CocoPseudoClipDataset for '
                'clips made of images, or CocoDataset for an image model.'
            )
            yield Problem(source, where, 'video_id', what)
            return
        where = f'video {video_id}, {where}'
        bad_size = _size_problem(image)
        if bad_size:
            yield Problem(source, where, *bad_size)
            continue
        size = (image['height'], image['width'])
        if sizes.setdefault(video_id, size) != size:
            what = f'{size} differs from {sizes[video_id]} of the other frames of the video.'
            yield Problem(source, where, 'height, width', what)
        frame_id = image.get('frame_id')
        if frame_id is None or frame_id in frames[video_id]:
            what = f'{frame_id} is missing or used twice in the video; expected 0, 1, 2, ...'
            yield Problem(source, where, 'frame_id', what)
        frames[video_id].add(frame_id)
        images[image.get('id')] = image
    yield from _check_objects(data, images, source)


def _check_objects(data: Mapping, images: Mapping[Any, Mapping], source: str) -> Iterator[Problem]:
    known = {image.get('id') for image in data['images']}
    with_frames = {image.get('video_id') for image in data['images']}
    for video in data.get('videos') or []:
        if video.get('id') not in with_frames:
            what = 'lists a video that no image belongs to: a video needs at least 1 frame.'
            yield Problem(source, video_name(video), 'videos', what)
    categories = {category.get('id') for category in data['categories']}
    seen: set[tuple] = set()
    for obj in data.get('annotations') or []:
        image_id, instance_id = obj.get('image_id'), obj.get('instance_id')
        where = f'annotation {obj.get("id")}'
        if image_id not in known:
            yield Problem(source, where, 'image_id', f'{image_id} is not the id of any image.')
            continue
        if image_id not in images:
            continue
        image = images[image_id]
        where = f'video {image["video_id"]}, image {image_id} ({image.get("file_name")}), {where}'
        yield from _check_category(obj, categories, source, where)
        if instance_id is None:
            yield Problem(
                source, where, 'instance_id', 'is missing: which track does it belong to?'
            )
        elif (image_id, instance_id) in seen:
            yield Problem(source, where, 'instance_id', f'{instance_id} is twice in this frame.')
        seen.add((image_id, instance_id))
        what = _mask_problem(obj.get('segmentation'), image['height'], image['width'])
        if what:
            yield Problem(source, where, 'segmentation', what)


def _check_category(entry: Mapping, categories: set, source: str, where: str) -> Iterator[Problem]:
    category = entry.get('category_id')
    if category not in categories:
        known = sorted(categories, key=str)
        shown = ', '.join(map(str, known[:20])) + (', ...' if len(known) > 20 else '')
        what = f'{category} is not in "categories" (ids {shown}).'
        yield Problem(source, where, 'category_id', what)


def _size_problem(entry: Mapping) -> tuple[str, str] | None:
    for key in ('height', 'width'):
        if not isinstance(entry.get(key), int) or entry[key] < 1:
            return key, f'is {entry.get(key)!r}; expected a positive number of pixels.'
    return None


def _mask_problem(mask: Any, height: int, width: int) -> str | None:
    """What is wrong with one mask (None, RLE or polygons) of an image of this size, or None."""
    if mask is None or mask == []:
        return None
    if isinstance(mask, list):
        if all(isinstance(p, list) and len(p) >= 6 and len(p) % 2 == 0 for p in mask) and all(
            isinstance(number, (int, float)) for p in mask for number in p
        ):
            return None
        return 'has a polygon without at least 3 points (x1, y1, x2, y2, ...).'
    if not isinstance(mask, Mapping) or 'size' not in mask or 'counts' not in mask:
        return 'is neither null, nor a run-length code with "size" and "counts", nor polygons.'
    size, counts = mask['size'], mask['counts']
    if size not in ([height, width], (height, width)):
        return f'mask is {size}, but the video is [{height}, {width}] (height, width).'
    if isinstance(counts, (str, bytes)):
        return None
    if not isinstance(counts, list) or not all(isinstance(n, int) and n >= 0 for n in counts):
        return '"counts" is neither a text nor a list of run lengths.'
    if sum(counts) != height * width:
        return f'runs add up to {sum(counts)} pixels; expected {height} x {width}.'
    return None
