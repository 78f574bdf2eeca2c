"""Starting the video model from an image model (paper, appendix A)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from mmdet.datasets import CocoDataset
from torch import Tensor, nn

from mmdevis.models.layers import TemporalMultiScaleDeformableAttention

from .classes import map_class_rows
from .official import is_official, rename_official

_QUERIES = 'query_embedding.weight'
# Trained from scratch in the video model.
_FRESH = (_QUERIES, 'positional_encoding.temporal_embed')
_CLASSES = 'bbox_head.cls_branches.'


@dataclass
class StartReport:
    """What became of the tensors of an image checkpoint.

    Attributes:
        copied: Names that were taken over as they are.
        from_spatial: Temporal projections that repeat the spatial one for every frame slot.
        classes: Trained classes by class of the video data set; empty: the class head is new.
        fresh: Names that start new, with the reason.
        unused: Names of the checkpoint without a place, with the reason.
    """

    copied: list[str] = field(default_factory=list)
    from_spatial: list[str] = field(default_factory=list)
    classes: dict[str, list[str]] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)

    def describe(self, limit: int = 8) -> str:
        """The report in a few lines.

        Args:
            limit: Names to show for each reason; the others are counted.
        """
        lines = [
            f'{len(self.copied)} tensors copied, {len(self.from_spatial)} temporal projections '
            'made of spatial ones',
            f'{len(self.classes)} classes taken over by name: '
            + (', '.join(f'{k} <- {" + ".join(v)}' for k, v in self.classes.items()) or 'none'),
        ]
        reasons: dict[str, list[str]] = {}
        for name, reason in self.fresh.items():
            reasons.setdefault(reason, []).append(name)
        lines += [f'starts new, {why}: {_some(names, limit)}' for why, names in reasons.items()]
        if self.unused:
            lines.append(f'not used: {_some(self.unused, limit)}')
        return '\n'.join(lines)


def _some(names: Sequence[str], limit: int) -> str:
    """The first names, and how many there are besides."""
    rest = len(names) - limit
    return ', '.join(names[:limit]) + (f' and {rest} more' if rest > 0 else '')


def lacks_video_parts(source: Mapping[str, Tensor], model: nn.Module) -> bool:
    """Whether weights are those of an image model (or of clips of another length).

    Args:
        source: State dict, ours, MMDetection's or the release's.
        model: The video model.
    """
    if is_official(source):
        source, _ = rename_official(source, model.state_dict())
    shapes = {
        name: value.shape
        for name, value in model.state_dict().items()
        if 'temporal' in name or name in _FRESH
    }
    return any(name not in source or source[name].shape != shapes[name] for name in shapes)


@torch.no_grad()
def start_from_image(
    model: nn.Module,
    source: Mapping[str, Tensor],
    source_classes: Sequence[str] | None = None,
    target_classes: Sequence[str] | None = None,
    repeat_queries: bool = False,
) -> tuple[dict[str, Tensor], StartReport]:
    """State dict of the video model with an image model's weights.

    Temporal projections repeat the spatial ones for every frame slot. Queries and the temporal
    embedding start new, and so does the class head except for classes of the same name.

    Args:
        model: The video model, initialised: it gives the values of what starts new.
        source: State dict of a ``DeformableMaskDETR``, of the release's COCO stage, or of
            MMDetection's Deformable DETR with box refinement, which has no mask head.
        source_classes: Names of its classes; None means COCO for 80 or 91 classes.
        target_classes: Names of the video data set's classes; None: the class head starts new.
        repeat_queries: Let the image model's queries serve every frame, where there are as many as
            the video model has for a frame. Short trainings gain by it; the paper's queries start
            new.

    Returns:
        - the state dict, complete
        - what was done

    Raises:
        ValueError: If less than half of the model's tensors have a value in the checkpoint, so
            that it belongs to another kind of model.
    """
    report = StartReport()
    state = model.state_dict()
    if is_official(source):
        source, report.unused = rename_official(source, state)
    else:
        report.unused = [f'{name}: no such part' for name in source if name not in state]
    attentions = {
        f'{name}.': module
        for name, module in model.named_modules()
        if isinstance(module, TemporalMultiScaleDeformableAttention)
    }
    rows = source.get(f'{_CLASSES}0.bias')
    if source_classes is None and rows is not None and len(rows) in (80, 91):
        source_classes = CocoDataset.METAINFO['classes']

    result: dict[str, Tensor] = {}
    for name, fresh in state.items():
        value = source.get(name)
        result[name] = fresh.clone()
        layer, _, part = name.rpartition('temporal_')
        if layer in attentions and part.startswith(('sampling_offsets', 'attention_weights')):
            spatial = source.get(layer + part)
            if spatial is None or spatial.shape != state[layer + part].shape:
                report.fresh[name] = 'no spatial projection to start from'
                continue
            result[name] = attentions[layer].temporal_from_spatial(spatial).to(fresh)
            report.from_spatial.append(name)
        elif repeat_queries and name == _QUERIES and value is not None:
            repeated = value.repeat(model.num_frames, 1)
            if repeated.shape == fresh.shape:
                result[name] = repeated
                report.copied.append(name)
            else:
                report.fresh[name] = f'{len(value)} queries there, {len(fresh)} here'
        elif name in _FRESH:
            report.fresh[name] = 'belongs to clips'
        elif name.startswith(_CLASSES) and value is not None:
            if source_classes is None or target_classes is None:
                report.fresh[name] = 'names of the classes are not known or not wanted'
                continue
            result[name], report.classes = map_class_rows(
                value, fresh, list(source_classes), list(target_classes)
            )
        elif value is None and name.startswith('neck.') and f'{name[:-4]}weight' in source:
            # MMDetection leaves out a bias before a norm, which is the same as one of zeros.
            result[name] = torch.zeros_like(fresh)
            report.copied.append(name)
        elif value is None:
            if not name.endswith('num_batches_tracked'):
                report.fresh[name] = 'not in the checkpoint'
        elif value.shape != fresh.shape:
            report.fresh[name] = f'shape {tuple(value.shape)} there, {tuple(fresh.shape)} here'
        else:
            result[name] = value
            report.copied.append(name)
    if 2 * (len(report.copied) + len(report.from_spatial)) < len(state):
        raise ValueError(
            f'{len(report.copied)} of the {len(state)} tensors of the model are in the '
            'checkpoint: it is none of an image model of this kind\n' + report.describe()
        )
    return result, report
