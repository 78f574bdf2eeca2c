"""Results for other tools: YouTube-VIS, COCO, and supervision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as mask_utils

from mmdevis.structures import RLE, FrameTracks, Track

from .vis_inferencer import VideoResult

if TYPE_CHECKING:
    from supervision import Detections


class TrackCollector:
    """Joins the tracks of a video from its frames, whether or not it came to its end.

    Tracks carry the class and score that they had in the newest frame they are in, which is their
    final one once the video has ended.
    """

    def __init__(self) -> None:
        self.num_frames = 0
        self._tracks: dict[int, Track] = {}

    def add(self, found: FrameTracks) -> None:
        """Takes in the next frame. Its masks are referred to, not copied.

        Args:
            found: The frame.
        """
        self.num_frames = found.frame_index + 1
        labels, scores = track_labels(found).tolist(), track_scores(found).tolist()
        for row, track_id in enumerate(found.track_ids.tolist()):
            track = self._tracks.setdefault(track_id, Track(track_id, 0, 0.0))
            track.label, track.score = labels[row], scores[row]
            track.segmentations[found.frame_index] = found.masks[row]
            track.frame_scores[found.frame_index] = float(found.scores[row])

    def tracks(self, finished: Iterable[Track] | None = None) -> list[Track]:
        """All tracks so far, by number.

        Args:
            finished: The tracks that the stream returned at the end of the video; only these are
                kept, because the tracker drops some at the end. None when there was no end.

        Returns:
            The tracks; their frames may include ones with an empty mask.
        """
        kept = self._tracks if finished is None else {track.track_id for track in finished}
        return [track for track_id, track in sorted(self._tracks.items()) if track_id in kept]


def track_labels(found: FrameTracks) -> Any:
    """(N,) class of each track up to this frame, or in this frame where that is not known."""
    return found.labels if found.track_labels is None else found.track_labels


def track_scores(found: FrameTracks) -> Any:
    """(N,) score of each track up to this frame, or in this frame where that is not known."""
    return found.scores if found.track_scores is None else found.track_scores


def to_youtube_vis(
    result: VideoResult, video_id: int = 1, category_ids: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """Converts the tracks of a video to results in YouTube-VIS format.

    `tools/analysis_tools/eval_results.py` scores them, and evaluation servers take them.

    Args:
        result: What was found in the video.
        video_id: Its `id` in the annotation file.
        category_ids: `id` of each class in the annotation file, by label; by default label + 1.

    Returns:
        One dict per track: `video_id`, `category_id`, `score` and `segmentations`, one RLE
        (`counts` as str) or None per frame.

    Raises:
        ValueError: A label has no category.

    Examples:
        >>> json.dump(to_youtube_vis(inferencer('video.mp4')), file)
    """
    tracks = result.tracks
    if not any(track.segmentations for track in tracks):  # the tracker was told not to keep them
        collector = TrackCollector()
        for found in result.frames:
            collector.add(found)
        tracks = collector.tracks(result.tracks)
    return list(tracks_to_youtube_vis(tracks, len(result.frames), video_id, category_ids))


def tracks_to_youtube_vis(
    tracks: Iterable[Track],
    num_frames: int,
    video_id: int = 1,
    category_ids: Sequence[int] | None = None,
) -> Iterator[dict[str, Any]]:
    """Does what `to_youtube_vis` does, track by track.

    Args:
        tracks: Tracks with segmentations.
        num_frames: Length of the video.
        video_id: As in `to_youtube_vis`.
        category_ids: As in `to_youtube_vis`.

    Yields:
        One dict per track.

    Raises:
        ValueError: A label has no category.
    """
    for track in tracks:
        masks = [track.segmentations.get(index) for index in range(num_frames)]
        yield dict(
            video_id=video_id,
            category_id=_category_id(track.label, category_ids),
            score=float(track.score),
            segmentations=[None if _is_empty(mask) else _json_rle(mask) for mask in masks],
        )


def to_coco(
    frames: Iterable[FrameTracks],
    image_ids: Sequence[int] | None = None,
    category_ids: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Converts frames to COCO detection results, which `COCO.loadRes` of pycocotools loads.

    Args:
        frames: Frames, such as `VideoResult.frames`.
        image_ids: `id` of the image of each frame, by frame number; by default the number itself.
        category_ids: `id` of each class, by label; by default label + 1.

    Returns:
        One dict per object and frame: `image_id`, `category_id` (of the whole track up to the
        frame), `bbox` (x, y, width, height in pixels), `score` (in the frame), `segmentation` (RLE
        with `counts` as str), and `track_id`, which COCO's tools pass over. Objects without a pixel
        are left out.

    Raises:
        ValueError: A label has no category.
    """
    detections = []
    for found in frames:
        index = found.frame_index
        labels, scores = track_labels(found).tolist(), found.scores.tolist()
        for row, track_id in enumerate(found.track_ids.tolist()):
            mask = found.masks[row]
            if _is_empty(mask):
                continue
            detections.append(
                dict(
                    image_id=index if image_ids is None else image_ids[index],
                    category_id=_category_id(labels[row], category_ids),
                    bbox=mask_utils.toBbox(mask).tolist(),
                    score=scores[row],
                    segmentation=_json_rle(mask),
                    track_id=track_id,
                )
            )
    return detections


def to_supervision(found: FrameTracks, class_names: Sequence[str] = ()) -> Detections:
    """Converts a frame to `supervision.Detections`, for its annotators, zones and counters.

    Args:
        found: The frame.
        class_names: Name of each label; when given they come as `data['class_name']`.

    Returns:
        `xyxy` (N, 4) in pixels, `mask` bool (N, H, W), `confidence` (N,) score in the frame,
        `class_id` (N,) label of the whole track up to the frame, `tracker_id` (N,). Objects
        without a pixel are left out.

    Raises:
        ImportError: The package supervision is not installed.

    Examples:
        >>> for frame, found in zip(frames, inferencer.stream(frames)):
        ...     picture = annotator.annotate(frame, to_supervision(found))
    """
    try:
        from supervision import Detections
    except ImportError as error:
        raise ImportError(
            'to_supervision() needs the package supervision: pip install "mmdevis[supervision]", '
            'or pip install supervision'
        ) from error
    rows = [row for row, mask in enumerate(found.masks) if not _is_empty(mask)]
    masks = [mask_utils.decode(found.masks[row]).astype(bool) for row in rows]
    labels = np.asarray(track_labels(found), dtype=int)[rows]
    data = {}
    if class_names:
        names = [class_names[i] if i < len(class_names) else f'class {i}' for i in labels.tolist()]
        data['class_name'] = np.array(names, dtype=str)
    return Detections(
        xyxy=found.bboxes.numpy()[rows].reshape(-1, 4),
        mask=np.stack(masks) if masks else None,
        confidence=found.scores.numpy()[rows],
        class_id=labels,
        tracker_id=found.track_ids.numpy()[rows].astype(int),
        data=data,
    )


def _category_id(label: int, category_ids: Sequence[int] | None) -> int:
    if category_ids is None:
        return label + 1
    if label >= len(category_ids):
        raise ValueError(
            f'label {label} was found, but category_ids has only {len(category_ids)} entries; give '
            'one for each class of the model'
        )
    return category_ids[label]


def _is_empty(mask: RLE | None) -> bool:
    return mask is None or not mask_utils.area(mask)


def _json_rle(mask: RLE) -> dict[str, Any]:
    counts = mask['counts']
    return dict(
        size=[int(side) for side in mask['size']],
        counts=counts.decode() if isinstance(counts, bytes) else counts,
    )
