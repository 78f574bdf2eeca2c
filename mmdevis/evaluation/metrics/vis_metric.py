"""The metric of video instance segmentation."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmdet.evaluation.metrics import YouTubeVISMetric
from mmdet.registry import METRICS
from mmdet.structures.mask import encode_mask_results
from mmengine.dist import broadcast_object_list, gather_object, is_main_process
from mmengine.logging import MMLogger, print_log

from ..functional import (
    VISFormatError,
    class_table,
    evaluate_tracking,
    evaluate_ytvis,
    require_trackeval,
    summary_table,
    write_submission,
)

_MMDET_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
_ALL_MMDET_ITEMS = (*_MMDET_ITEMS, 'AR@1', 'AR@10', 'AR@100', 'AR_s@100', 'AR_m@100', 'AR_l@100')


def _numpy(values: torch.Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if torch.is_tensor(values) else np.asarray(values)


@METRICS.register_module()
class VISMetric(YouTubeVISMetric):
    """MMDetection's YouTube-VIS metric: same numbers, RLE in, any sampler, with or without truth.

    Differences to `YouTubeVISMetric`: predicted masks may already be run-length encoded and are
    kept so; models may predict whole videos or frame by frame; a video that the sampler gave to
    two ranks counts once; a set without ground truth gives a submission file; `AP`, `AP50`, ... are
    there unrounded, beside MMDetection's names. `docs/evaluation.md` explains every name.

    Args:
        metric: As in `YouTubeVISMetric`; only 'youtube_vis_ap'.
        metric_items: Which of MMDetection's names to return (`mAP`, ..., `AR@100`; they come out as
            `segm_mAP`, ...). Default as in MMDetection: the six `mAP`s.
        outfile_prefix: Path without extension of the results: `<prefix>.json` and
            `<prefix>.submission_file.zip`. When it is given they are always written. When it is
            None and they have to be written (`format_only`, no ground truth), the folder of the
            runner's log is taken, or else the current folder, and `vis_results`.
        collect_device: Accepted as in `YouTubeVISMetric`; results are gathered through the process
            group and need no shared folder.
        prefix: Put before the names; default 'youtube_vis'.
        format_only: Whether to only write results, not to score them.
        classwise: Whether to log a table of AP per class and return `<class>_precision`.
        iou_thrs: IoU thresholds to average over. Default .50, .55, ... .95.
        tracking_score_thr: When given, HOTA, CLEAR and identity metrics of the tracks with at least
            this score are returned too; needs the package trackeval.
    """

    def __init__(
        self,
        metric: str | list[str] = 'youtube_vis_ap',
        metric_items: Sequence[str] | None = None,
        outfile_prefix: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        format_only: bool = False,
        classwise: bool = False,
        iou_thrs: Sequence[float] | None = None,
        tracking_score_thr: float | None = None,
    ) -> None:
        super().__init__(
            metric=metric,
            metric_items=metric_items,
            outfile_prefix=outfile_prefix,
            collect_device=collect_device,
            prefix=prefix,
            format_only=format_only,
        )
        unknown = set(metric_items or ()) - set(_ALL_MMDET_ITEMS)
        if unknown:
            raise KeyError(
                f'metric_items {sorted(unknown)} are not known, only {", ".join(_ALL_MMDET_ITEMS)}'
            )
        self.classwise = classwise
        self.iou_thrs = iou_thrs
        self.tracking_score_thr = tracking_score_thr
        if tracking_score_thr is not None:
            require_trackeval()  # now, not after hours of prediction
        # Frames of videos that come one by one: video id -> frame id -> (prediction, truth).
        self._open_videos: dict[int, dict[int, tuple[dict, dict]]] = defaultdict(dict)
        self._open_lengths: dict[int, int] = {}

    def process_video(self, data_samples: Sequence) -> None:
        """Takes all frames of one video.

        Args:
            data_samples: One `DetDataSample` per frame with `pred_track_instances`: `instances_id`,
                `labels`, `scores` (N,) and `masks`, N RLE dicts or a bool array (N, H, W).

        Raises:
            VISFormatError: A prediction lacks a field or has masks of another size.
        """
        self._add_video([self._read_frame(sample) for sample in data_samples])

    def process_image(self, data_samples: Sequence, video_len: int) -> None:
        """Takes some frames of a video; the video is complete when `video_len` have come.

        Args:
            data_samples: As in `process_video`.
            video_len: Number of frames of the whole video.

        Raises:
            VISFormatError: A prediction lacks a field or has masks of another size.
        """
        for sample in data_samples:
            video_id = sample.metainfo['video_id']
            frames = self._open_videos[video_id]
            frames[sample.metainfo['frame_id']] = self._read_frame(sample)
            self._open_lengths[video_id] = video_len
            if len(frames) == video_len:
                self._add_video([frames[frame_id] for frame_id in sorted(frames)])
                del self._open_videos[video_id], self._open_lengths[video_id]

    def _read_frame(self, sample) -> tuple[dict, dict]:
        """Splits a frame into prediction and truth, with masks as RLE.

        Args:
            sample: `DetDataSample` with `pred_track_instances`.

        Returns:
            The prediction (`scores`, `labels`, `instances_id` (N,), `masks` list of N RLE) and the
            truth (`width`, `height`, `img_id`, `video_id`, `anns`).
        """
        meta = sample.metainfo
        where = f'video {meta["video_id"]!r}, frame {meta.get("frame_id")}'
        if 'pred_track_instances' not in sample:
            raise VISFormatError(f'{where}: the model gave no pred_track_instances')
        pred = sample.pred_track_instances
        missing = [k for k in ('masks', 'scores', 'labels', 'instances_id') if k not in pred]
        if missing:
            raise VISFormatError(f'{where}: pred_track_instances has no {", ".join(missing)}')
        masks = pred.masks
        if not isinstance(masks, (list, tuple)):
            masks = encode_mask_results(_numpy(masks))
        height, width = meta['ori_shape'][:2]
        for rle in masks:
            if tuple(rle['size']) != (height, width):
                raise VISFormatError(
                    f'{where}: predicted masks are {tuple(rle["size"])} (height, width), expected '
                    f'the original size {(height, width)}'
                )
        result = {key: _numpy(pred[key]) for key in ('scores', 'labels', 'instances_id')}
        result['masks'] = [dict(rle) for rle in masks]  # the parent class changes them
        truth = {
            'width': width,
            'height': height,
            'img_id': meta.get('img_id'),
            'video_id': meta['video_id'],
            'anns': meta.get('instances') or [],
        }
        return result, truth

    def _add_video(self, frames: list[tuple[dict, dict]]) -> None:
        """Turns the frames of a video, in order, into tracks and keeps them in `self.results`."""
        preds, truths = zip(*frames)
        occlusion: dict[int, list] = {}
        for frame_id, truth in enumerate(truths):
            truth.update(frame_id=frame_id, video_length=len(frames))
            for ann in truth['anns']:
                if not ann.get('mask'):
                    raise VISFormatError(
                        f'video {truth["video_id"]!r}, frame {frame_id}: object '
                        f'{ann["instance_id"]!r} of the ground truth has no mask; a VIS metric '
                        'needs masks (is "with_mask" data in the annotation file?)'
                    )
                values = occlusion.setdefault(ann['instance_id'], [None] * len(frames))
                values[frame_id] = ann.get('occlusion')
        annotations = self._format_one_video_gts(truths)
        results = self._format_one_video_preds(preds)
        video = {**self._vis_meta_info['videos'][-1], 'length': len(frames)}
        self._vis_meta_info.clear()  # the parent would keep every frame of every video
        for annotation in annotations:
            annotation['occlusion'] = occlusion[annotation['id']]
            # The parent takes the box's area; without areas the evaluator takes the mask's.
            del annotation['areas']
        self.results.append({'video': video, 'annotations': annotations, 'results': results})

    def evaluate(self, size: int) -> dict[str, float]:
        """Gathers the videos of all ranks and scores or writes them.

        Args:
            size: Length of the data set; not needed, as padded videos are found by their id.

        Returns:
            The metrics, on every rank; empty when results were written instead.

        Raises:
            RuntimeError: Of a video only some frames came.
            VISFormatError: Predictions do not fit the ground truth.
        """
        gathered = gather_object(
            {
                'videos': list(self.results),
                'open': {v: (len(f), self._open_lengths[v]) for v, f in self._open_videos.items()},
            }
        )
        outcome: list = [None]
        if is_main_process():
            try:
                outcome = [self._evaluate_gathered(gathered)]
            except Exception as error:  # the other ranks wait for an answer: let all of them fail
                outcome = [error]
        broadcast_object_list(outcome)
        self.results.clear()
        self._open_videos.clear()
        self._open_lengths.clear()
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _evaluate_gathered(self, gathered: Sequence[dict]) -> dict[str, float]:
        for part in gathered:
            for video_id, (got, expected) in part['open'].items():
                raise RuntimeError(
                    f'video {video_id!r}: only {got} of its {expected} frames were predicted. '
                    'All frames of a video must go to one rank; for models that predict frame by '
                    "frame use sampler=dict(type='TrackImgSampler')"
                )
        videos = [video for part in gathered for video in part['videos']]
        metrics = self.compute_metrics(videos)
        return {f'{self.prefix}/{k}' if self.prefix else k: v for k, v in metrics.items()}

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Scores the videos, or writes the submission file.

        Args:
            results: One dict per video; a video that is there twice counts once.

        Returns:
            Metrics without prefix; empty when results were written instead.
        """
        videos = {entry['video']['id']: entry for entry in results}
        entries = [videos[video_id] for video_id in sorted(videos)]
        tracks, gt = self._to_category_ids(entries)
        has_truth = bool(gt['annotations'])
        if self.format_only or not has_truth or self.outfile_prefix:
            self._say_written(self.save_pred_results(tracks), len(videos), has_truth)
        if self.format_only or not has_truth:
            return {}

        scores = evaluate_ytvis(
            gt, tracks, self.iou_thrs, classwise=self.classwise, mmdet_names=True
        )
        if self.tracking_score_thr is not None:
            scores.update(evaluate_tracking(gt, tracks, score_thr=self.tracking_score_thr))
        print_log(
            f'{len(tracks)} predicted and {len(gt["annotations"])} true tracks in {len(videos)} '
            f'videos\n{summary_table(scores)}',
            'current',
        )
        if self.classwise:
            print_log(f'AP per class\n{class_table(scores)}', 'current')
        # MMDetection rounds what it returns under these names to three decimals.
        wanted = [f'segm_{item}' for item in self.metric_items or _MMDET_ITEMS]
        metrics = {name: round(scores[name], 3) for name in wanted}
        metrics.update({k: v for k, v in scores.items() if not k.startswith('segm_')})
        return metrics

    def _to_category_ids(self, entries: Sequence[dict]) -> tuple[list[dict], dict]:
        """Joins videos; categories get the ids of the annotation file where they are known.

        Args:
            entries: Videos as `_add_video` made them, with `category_id` = label + 1.

        Returns:
            Predicted tracks, and ground truth, in YouTube-VIS format.
        """
        classes = self.dataset_meta['classes']
        # `category_ids` of the data set's metainfo, aligned with its classes; else 1, 2, ...
        ids = self.dataset_meta.get('category_ids') or range(1, len(classes) + 1)
        ids = [int(i) for i in ids]

        def with_id(track: dict) -> dict:
            label = track['category_id'] - 1
            if label >= len(ids):
                raise VISFormatError(
                    f'video {track["video_id"]!r}: label {label} but the data set has only '
                    f'{len(ids)} classes; does num_classes of the model fit the data set?'
                )
            return {**track, 'category_id': ids[label]}

        tracks = [with_id(track) for entry in entries for track in entry['results']]
        annotations = [with_id(track) for entry in entries for track in entry['annotations']]
        for number, annotation in enumerate(annotations, start=1):
            annotation['id'] = number  # objects may be numbered per video
        categories = [{'id': i, 'name': name} for i, name in zip(ids, classes)]
        videos = [entry['video'] for entry in entries]
        return tracks, {'videos': videos, 'categories': categories, 'annotations': annotations}

    def save_pred_results(self, pred_results: list[dict]) -> list[Path]:
        """Writes the results as json and as zip for the evaluation server.

        Args:
            pred_results: Predicted tracks in YouTube-VIS format.

        Returns:
            The two paths.
        """
        prefix = self.outfile_prefix or self._log_folder() / 'vis_results'
        return write_submission(pred_results, prefix)

    @staticmethod
    def _log_folder() -> Path:
        """Folder of the runner's log, `<work_dir>/<time stamp>`, or else the current folder."""
        for handler in MMLogger.get_current_instance().handlers:
            if isinstance(handler, logging.FileHandler):
                return Path(handler.baseFilename).parent
        return Path.cwd()

    def _say_written(self, paths: Sequence[Path], num_videos: int, has_truth: bool) -> None:
        if self.format_only:
            reason = 'format_only: nothing is scored'
        elif not has_truth:
            reason = 'The set has no ground truth: nothing is scored'
        else:
            reason = 'Results are kept'
        print_log(
            f'{reason}. Results of {num_videos} videos: {paths[0]}; to submit to the server: '
            f'{paths[1]}',
            'current',
        )
