"""AP and AR of video instance segmentation: MMDetection's evaluator, with a faster overlap."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence

import numpy as np
from mmdet.evaluation.functional import YTVIS, YTVISeval
from pycocotools import mask as mask_utils

from mmdevis.utils.numpy_compat import removed_aliases

from .occlusion import groups_of_annotations
from .ytvis_format import check_ground_truth, check_results

_SIZES = {'s': 'small', 'm': 'medium', 'l': 'large'}


class BatchedYTVISeval(YTVISeval):
    """MMDetection's `YTVISeval` that computes all overlaps of a frame in one call.

    The original merges two masks twice for every pair of tracks and frame, in Python. Here
    pycocotools computes the overlaps of all pairs of a frame together, and intersections are
    recovered from them exactly (they are integers), so every number stays the same.

    Args:
        gt: Ground truth.
        dt: Results.
        overlaps: Overlaps of an earlier evaluation of the same data, to not compute them again.
        only: Ids of the annotations that count; the rest is ignored, as objects outside an area
            range are. None: all count.
    """

    def __init__(
        self,
        gt: YTVIS,
        dt: YTVIS,
        overlaps: dict | None = None,
        only: set[int] | None = None,
    ) -> None:
        super().__init__(gt, dt, 'segm')
        self._overlaps = overlaps
        self._only = only

    def _prepare(self) -> None:
        super()._prepare()
        if self._only is not None:
            for annotations in self._gts.values():
                for annotation in annotations:
                    if annotation['id'] not in self._only:
                        annotation['ignore'] = True

    def computeIoU(self, vidId, catId):  # noqa: N802 (name of the overridden method)
        """Overlaps of the tracks of one video and category.

        Args:
            vidId: Id of the video.
            catId: Id of the category.

        Returns:
            Spatio-temporal IoU (D, G) in 0..1 of the D best predictions, best first, and the G
            objects; an empty list when there is neither.
        """
        if self._overlaps is not None:
            return self._overlaps[vidId, catId]
        gts, dts = self._gts[vidId, catId], self._dts[vidId, catId]
        if not gts and not dts:
            return []
        order = np.argsort([-d['score'] for d in dts], kind='mergesort')
        dts = [dts[i] for i in order[: self.params.maxDets[-1]]]
        return track_ious([d['segmentations'] for d in dts], [g['segmentations'] for g in gts])


def frame_overlaps(
    dts: Sequence[Sequence[dict | None]], gts: Sequence[Sequence[dict | None]]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Areas of all masks and intersections of all pairs of two sets of tracks, frame by frame.

    Args:
        dts: D tracks, each with one RLE, or None, for each of the same F frames.
        gts: G tracks likewise.

    Yields:
        F times the areas (D,) and (G,), and the intersections (D, G), in pixels as floats.
    """
    num_frames = len(dts[0]) if dts else len(gts[0]) if gts else 0
    for frame in range(num_frames):
        rows = [i for i, track in enumerate(dts) if track[frame]]
        cols = [j for j, track in enumerate(gts) if track[frame]]
        dt_masks = [dts[i][frame] for i in rows]
        gt_masks = [gts[j][frame] for j in cols]
        dt_area, gt_area = np.zeros(len(dts)), np.zeros(len(gts))
        intersection = np.zeros((len(dts), len(gts)))
        dt_area[rows] = a = mask_utils.area(dt_masks).astype(float) if rows else np.zeros(0)
        gt_area[cols] = b = mask_utils.area(gt_masks).astype(float) if cols else np.zeros(0)
        if rows and cols:
            iou = mask_utils.iou(dt_masks, gt_masks, [0] * len(cols))
            # iou = i / (a + b - i), so i is this integer; rounding undoes the division exactly
            # as long as areas stay far below 2 ** 52.
            intersection[np.ix_(rows, cols)] = np.rint(iou * (a[:, None] + b[None]) / (1 + iou))
        yield dt_area, gt_area, intersection


def track_ious(
    dts: Sequence[Sequence[dict | None]], gts: Sequence[Sequence[dict | None]]
) -> np.ndarray:
    """Spatio-temporal IoU of all pairs of two sets of tracks.

    Args:
        dts: D tracks, each with one RLE, or None, for each of the same F frames.
        gts: G tracks likewise.

    Returns:
        Float array (D, G): sum of intersections over sum of unions, 0 where both are empty.
    """
    intersection = np.zeros((len(dts), len(gts)))
    dt_area, gt_area = np.zeros(len(dts)), np.zeros(len(gts))
    for a, b, shared in frame_overlaps(dts, gts):
        dt_area += a
        gt_area += b
        intersection += shared
    union = dt_area[:, None] + gt_area[None] - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def _mean_of_valid(values: np.ndarray) -> float:
    """Mean of the entries that are not -1; -1 when there is none."""
    values = values[values > -1]
    return float(values.mean()) if values.size else -1.0


class _Scores:
    """Reads averages out of an accumulated evaluation.

    Args:
        evaluation: Evaluation after `evaluate()`.
    """

    def __init__(self, evaluation: YTVISeval) -> None:
        with removed_aliases():
            evaluation.accumulate()
        self.precision = evaluation.eval['precision']  # (IoU, recall, class, area, max dets)
        self.recall = evaluation.eval['recall']  # (IoU, class, area, max dets)
        self.iou_thrs = np.asarray(evaluation.params.iouThrs)
        self.areas = evaluation.params.areaRngLbl
        self.max_dets = evaluation.params.maxDets

    def _at(self, iou_thr: float | None) -> np.ndarray:
        if iou_thr is None:
            return np.arange(len(self.iou_thrs))
        return np.flatnonzero(np.isclose(self.iou_thrs, iou_thr))

    def ap(self, iou_thr: float | None = None, area: str = 'all', label: int | None = None):
        """Average precision over IoU thresholds and classes, or of one of them."""
        values = self.precision[self._at(iou_thr)][..., self.areas.index(area), -1]
        return _mean_of_valid(values if label is None else values[:, :, label])

    def ar(self, max_dets: int, area: str = 'all') -> float:
        """Average recall with at most `max_dets` predictions per video."""
        return _mean_of_valid(
            self.recall[..., self.areas.index(area), self.max_dets.index(max_dets)]
        )


def _box_areas(annotation: dict) -> list[float | None]:
    """Areas of the boxes per frame, which MMDetection's metric takes for object size."""
    boxes = annotation.get('bboxes')
    if boxes is None:
        boxes = [None if s is None else mask_utils.toBbox(s) for s in annotation['segmentations']]
    return [None if box is None else float(box[2] * box[3]) for box in boxes]


def evaluate_ytvis(
    gt: dict,
    results: Sequence[dict],
    iou_thrs: Sequence[float] | None = None,
    *,
    classwise: bool = False,
    mmdet_names: bool = False,
) -> dict[str, float]:
    """Scores results of video instance segmentation as MMDetection's `YTVISeval` does.

    Args:
        gt: Ground truth in YouTube-VIS format (see `check_ground_truth`). Not changed.
        results: Predicted tracks in YouTube-VIS format (see `check_results`), any number of them,
            also none. Not changed.
        iou_thrs: IoU thresholds to average over, each in (0, 1]. Default .50, .55, ... .95.
        classwise: Whether to add the AP of every class as `<name>_precision`, the form of
            MMDetection's `CocoMetric`.
        mmdet_names: Whether to add the names and the values of MMDetection's `YouTubeVISMetric`,
            `segm_mAP`, `segm_mAP_50`, ..., `segm_AR@100`. Its `_s`, `_m`, `_l` differ from ours: it
            takes the area of the box for the size of an object, ours are those of the official
            evaluator, which takes the area of the mask.

    Returns:
        Values in 0..1, or -1 for a group without any object in the ground truth: `AP`, `AP50`,
        `AP75` (-1 too where `iou_thrs` lacks .5 or .75); by mean mask area below 128^2, up to
        256^2 and above `AP_s`, `AP_m`, `AP_l`, `AR_s`, `AR_m`, `AR_l`; `AR1`, `AR10`, `AR100` with
        at most so many predictions per video; and where annotations have an `occlusion`,
        `AP_slight`, `AP_moderate`, `AP_heavy`, in which a prediction that matches no object counts
        as false in each of the groups.

    Raises:
        VISFormatError: Ground truth or results are not in the format; the message names the entry.
        ValueError: `iou_thrs` is empty or outside (0, 1], or an occlusion label is unknown.
    """
    if iou_thrs is not None and (len(iou_thrs) == 0 or not all(0 < t <= 1 for t in iou_thrs)):
        raise ValueError(f'iou_thrs must be numbers in (0, 1], got {list(iou_thrs)}')
    gt = check_ground_truth(gt)
    results = check_results(results, gt)
    groups = groups_of_annotations(gt['annotations'])

    with contextlib.redirect_stdout(io.StringIO()):  # the evaluator reports progress by print
        truth = YTVIS(gt)
        predictions = _load_results(truth, results)
        main = BatchedYTVISeval(truth, predictions)
        if iou_thrs is not None:
            main.params.iouThrs = np.asarray(iou_thrs, dtype=float)
        main.evaluate()
        scores = _Scores(main)

        metrics = {'AP': scores.ap(), 'AP50': scores.ap(0.5), 'AP75': scores.ap(0.75)}
        metrics.update({f'AP_{s}': scores.ap(area=area) for s, area in _SIZES.items()})
        metrics.update({f'AR{n}': scores.ar(n) for n in scores.max_dets})
        metrics.update({f'AR_{s}': scores.ar(100, area) for s, area in _SIZES.items()})
        for name, ids in groups.items():
            metrics[f'AP_{name}'] = _evaluate_again(main, only=ids).ap()
        if mmdet_names:
            for annotation in gt['annotations']:
                annotation['areas'] = _box_areas(annotation)
            metrics.update(_in_mmdet_names(metrics, _evaluate_again(main)))
    if classwise:
        # The evaluator orders classes by id.
        for label, category in enumerate(sorted(gt['categories'], key=lambda c: c['id'])):
            metrics[f'{category["name"]}_precision'] = scores.ap(label=label)
    return metrics


def average_precision(gt: dict, results: Sequence[dict]) -> dict[str, float]:
    """AP and AP50 alone, for many evaluations of checked data in a row.

    Args:
        gt: What `check_ground_truth` returned. Not changed.
        results: What `check_results` returned. Not changed.

    Returns:
        `AP` and `AP50` as from `evaluate_ytvis`.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = YTVIS({**gt, 'annotations': [dict(a) for a in gt['annotations']]})
        evaluation = BatchedYTVISeval(truth, _load_results(truth, [dict(r) for r in results]))
        params = evaluation.params
        params.areaRng, params.areaRngLbl = params.areaRng[:1], ['all']
        evaluation.evaluate()
        scores = _Scores(evaluation)
    return {'AP': scores.ap(), 'AP50': scores.ap(0.5)}


def _load_results(truth: YTVIS, results: list[dict]) -> YTVIS:
    if not results:  # `loadRes` looks at the first entry
        return YTVIS({'videos': truth.dataset['videos'], 'annotations': []})
    for result in results:
        # Given boxes keep `loadRes` from computing them; masks are what is evaluated.
        result['bboxes'] = [None] * len(result['segmentations'])
    return truth.loadRes(results)


def _evaluate_again(main: BatchedYTVISeval, only: set[int] | None = None) -> _Scores:
    """Evaluates the same data with other object sizes or only some objects, reusing overlaps."""
    again = BatchedYTVISeval(main.cocoGt, main.cocoDt, overlaps=main.ious, only=only)
    again.params.iouThrs = main.params.iouThrs
    if only is not None:
        again.params.areaRng, again.params.areaRngLbl = main.params.areaRng[:1], ['all']
    again.evaluate()
    return _Scores(again)


def _in_mmdet_names(metrics: dict[str, float], by_box: _Scores) -> dict[str, float]:
    named = {'mAP': metrics['AP'], 'mAP_50': metrics['AP50'], 'mAP_75': metrics['AP75']}
    named.update({f'mAP_{s}': by_box.ap(area=area) for s, area in _SIZES.items()})
    named.update({f'AR@{n}': metrics[f'AR{n}'] for n in by_box.max_dets})
    named.update({f'AR_{s}@100': by_box.ar(100, area) for s, area in _SIZES.items()})
    return {f'segm_{name}': value for name, value in named.items()}
