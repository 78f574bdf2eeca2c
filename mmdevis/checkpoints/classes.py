"""Rows of the class head that stand for the same thing in two data sets."""

from collections.abc import Mapping, Sequence

import torch
from mmdet.datasets import CocoDataset
from torch import Tensor

from mmdevis.datasets.category_mapping import map_by_name
from mmdevis.datasets.coco_pseudo_clip import CLASS_LISTS

from .official import COCO_ROWS


def dataset_classes(dataset: Mapping) -> tuple[str, ...] | None:
    """Class names of a data set, from its config alone.

    Args:
        dataset: Config of a data set, possibly wrapped (``ConcatDataset`` and the like).

    Returns:
        The names, or None where only the annotation file knows them.
    """
    if dataset.get('datasets'):
        return dataset_classes(dataset['datasets'][0])
    if 'dataset' in dataset:
        return dataset_classes(dataset['dataset'])
    named = (dataset.get('metainfo') or {}).get('classes') or dataset.get('classes')
    if isinstance(named, str):
        return CLASS_LISTS[named]
    if named:
        return tuple(named)
    if dataset['type'] == 'OVISClipDataset':
        return CLASS_LISTS['ovis']
    if dataset['type'] == 'CocoDataset':
        return CocoDataset.METAINFO['classes']
    if dataset.get('dataset_version'):
        return CLASS_LISTS[f'youtube_vis_{dataset["dataset_version"]}']
    return None


def map_class_rows(
    source: Tensor,
    fresh: Tensor,
    source_classes: Sequence[str],
    target_classes: Sequence[str],
) -> tuple[Tensor, dict[str, list[str]]]:
    """Start the class head of one data set from that of another.

    Args:
        source: (classes, ...) weight or bias of the trained head; 91 rows are COCO's category ids.
        fresh: (other classes, ...) new weight or bias, kept for classes without a partner.
        source_classes: Names of the trained rows (80 for 91 rows).
        target_classes: Names of the new rows.

    Returns:
        - the new rows; where several classes mean one (OVIS's vehicles), their mean
        - trained classes by new class

    Raises:
        ValueError: If the number of names and rows differ.
    """
    if len(source) == 91 and len(source_classes) == 80:
        source = source[list(COCO_ROWS)]
    if len(source) != len(source_classes) or len(fresh) != len(target_classes):
        raise ValueError(
            f'{len(source)} and {len(fresh)} class rows, but {len(source_classes)} and '
            f'{len(target_classes)} names'
        )
    partners: dict[str, list[str]] = {}
    for theirs, ours in map_by_name(source_classes, target_classes).items():
        partners.setdefault(ours, []).append(theirs)
    rows = fresh.clone()
    for ours, theirs in partners.items():
        picked = [source[source_classes.index(name)] for name in theirs]
        rows[target_classes.index(ours)] = torch.stack(picked).mean(0).to(rows)
    return rows, partners
