"""COCO images as pseudo clips, to train a video model on more objects (joint training)."""

import json
import os.path as osp
from collections import defaultdict
from collections.abc import Mapping, Sequence

from mmdet.datasets import BaseDetDataset
from mmdet.registry import DATASETS
from mmengine import fileio
from mmengine.logging import print_log

from .category_mapping import map_by_name
from .errors import AnnotationError
from .youtube_vis import OVIS_CLASSES, youtube_vis_classes

CLASS_LISTS = {
    'youtube_vis_2019': youtube_vis_classes('2019'),
    'youtube_vis_2021': youtube_vis_classes('2021'),
    'ovis': OVIS_CLASSES,
}


@DATASETS.register_module()
class CocoPseudoClipDataset(BaseDetDataset):
    """Images with instance masks, each of which the pipeline turns into a clip.

    One sample is one image with `num_frames`; the transform `ImageToClip` makes the frames. The
    metainfo is that of a `VISClipDataset` with the same classes, so both fit into one
    `ConcatDataset`. Only for training.

    Args:
        classes (str | Sequence[str]): Classes of the video data set, in the order of its labels, or
            one of 'youtube_vis_2019', 'youtube_vis_2021', 'ovis'.
        num_frames (int): Frames of a clip, T.
        max_instances (int): Images with more (mapped) instances are left out.
        category_map (Mapping[str, str], optional): Category of the images -> class, where the names
            say too little (see `category_mapping.map_by_name`).
        **kwargs: Of MMEngine's `BaseDataset`: `ann_file` (COCO json), `data_root`, `data_prefix`
            (`img_path`), `pipeline`, `indices`, `serialize_data`, `lazy_init`, `max_refetch`.

    Raises:
        AnnotationError: If the file is not COCO json with annotations, or no category fits.
        ValueError: With `test_mode`, or an unknown name of classes.
    """

    def __init__(
        self,
        classes: str | Sequence[str],
        num_frames: int,
        max_instances: int = 25,
        category_map: Mapping[str, str] | None = None,
        **kwargs,
    ) -> None:
        if kwargs.get('test_mode'):
            raise ValueError('Pseudo clips are for training; test on videos.')
        if isinstance(classes, str):
            if classes not in CLASS_LISTS:
                raise ValueError(f'classes: {classes!r} is none of {sorted(CLASS_LISTS)}.')
            classes = CLASS_LISTS[classes]
        self.num_frames = num_frames
        self.max_instances = max_instances
        self.category_map = category_map
        super().__init__(metainfo={'classes': tuple(classes)}, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the images that show 1 to `max_instances` instances of the classes.

        Returns:
            list[dict]: Per image `img_path`, `img_id`, `video_id` (the image's id), `height`,
            `width`, `num_frames` and `instances` (`bbox` x1, y1, x2, y2 in pixels, `bbox_label`,
            `mask` polygons or RLE, `instance_id`, `ignore_flag`).
        """
        data = json.loads(fileio.get_text(self.ann_file, backend_args=self.backend_args))
        for key in ('images', 'annotations', 'categories'):
            if not isinstance(data.get(key), list):
                raise AnnotationError(f'{self.ann_file}: "{key}": is missing; expected COCO json.')
        classes = self._metainfo['classes']
        names = {category['id']: category['name'] for category in data['categories']}
        mapping = map_by_name(names.values(), classes, self.category_map)
        if not mapping:
            raise AnnotationError(
                f'{self.ann_file}: "categories": none has the name of a class of the video data '
                f'set ({", ".join(classes[:10])}, ...). Give a category_map.'
            )
        labels = {
            cat_id: classes.index(mapping[name])
            for cat_id, name in names.items()
            if name in mapping
        }
        self.cat_ids, self.cat2label = list(labels), labels
        objects = defaultdict(list)
        for obj in data['annotations']:
            # Crowds have no identity that could be followed.
            if obj['category_id'] in labels and not obj.get('iscrowd') and obj.get('segmentation'):
                objects[obj['image_id']].append(obj)
        images = [
            self._record(image, objects[image['id']])
            for image in data['images']
            if 0 < len(objects[image['id']]) <= self.max_instances
        ]
        print_log(
            f'{self.ann_file}: {len(images)} of {len(data["images"])} images become pseudo clips; '
            f'{len(mapping)} of {len(names)} categories have a class.',
            'current',
        )
        if not images:
            raise AnnotationError(f'{self.ann_file}: "annotations": no usable instance of a class.')
        return images

    def _record(self, image: Mapping, objects: list[dict]) -> dict:
        instances = []
        for number, obj in enumerate(objects, 1):
            x, y, w, h = obj['bbox']
            instances.append(
                {
                    'bbox': [x, y, x + w, y + h],
                    'bbox_label': self.cat2label[obj['category_id']],
                    'mask': obj['segmentation'],
                    'instance_id': number,
                    'ignore_flag': 0,
                }
            )
        return {
            'img_path': osp.join(self.data_prefix.get('img_path') or '', image['file_name']),
            'img_id': image['id'],
            'video_id': image['id'],
            'height': image['height'],
            'width': image['width'],
            'num_frames': self.num_frames,
            'instances': instances,
        }

    def filter_data(self) -> list[dict]:
        """Nothing is left to filter."""
        return self.data_list

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of all objects of a sample."""
        return [instance['bbox_label'] for instance in self.get_data_info(idx)['instances']]
