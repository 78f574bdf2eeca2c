"""A web page of one video: frames, tracks over time, and the ground truth beside them."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from mmdevis.structures import FrameTracks, Track
from mmdevis.utils.pending_file import PendingFile

from .page_tracks import PageTrack, match_tracks
from .palette import track_colour

_MISSED = '#5b6270'


class ResultPageWriter:
    """Writes one html file that needs no network and no other file.

    Frames go into the file as they come (WebP or JPEG), tracks as outlines at the end, so memory
    holds outlines and run lengths only. The file appears under its name when it is complete.

    Args:
        path: The file, `.html`.
        title: Name of the video.
        fps: Frames per second.
        class_names: Name of every class by label; others are shown as `class <label>`.
        score_thr: Tracks are shown where their score up to the frame is at least this, and if
            their final score is.
        width: Wider frames are made smaller to this width, in pixels.
        truth: Objects of the ground truth, with one mask per frame number; None: there is none.
        truth_names: Name of every class of the ground truth by label.
        force: Whether an existing file may be replaced.

    Raises:
        FileExistsError: The file exists and `force` is not set.
        ValueError: `fps` or `width` is not positive.

    Examples:
        >>> with ResultPageWriter('out/index.html', 'my video', fps=25) as page:
        ...     for frame, found in pairs:
        ...         page.add(frame, found)
    """

    def __init__(
        self,
        path: str | os.PathLike,
        title: str,
        fps: float,
        class_names: Sequence[str] = (),
        score_thr: float = 0.3,
        width: int = 640,
        truth: Sequence[Track] | None = None,
        truth_names: Sequence[str] = (),
        force: bool = False,
    ) -> None:
        if not (np.isfinite(fps) and fps > 0):
            raise ValueError(f'{path}: fps must be positive, got {fps}')
        if width < 1:
            raise ValueError(f'{path}: the width of frames must be positive, got {width}')
        self.class_names = tuple(class_names)
        self.num_frames = 0
        self._title, self._fps, self._width, self._score_thr = title, fps, width, score_thr
        self._truth, self._truth_names = truth, tuple(truth_names)
        self._tracks: dict[int, PageTrack] = {}
        self._size: tuple[int, int] | None = None
        self._pending = PendingFile(path, force)
        self._file: IO[str] | None = None
        self._closed = False

    @property
    def path(self) -> Path:
        """The file."""
        return self._pending.path

    def add(self, frame: np.ndarray, found: FrameTracks) -> None:
        """Adds the next frame.

        Args:
            frame: uint8 (H, W, 3), BGR.
            found: What was found on it, masks at the size of the frame.

        Raises:
            ValueError: A mask, or the ground truth, has another size than the frame.
            RuntimeError: The page is closed.
        """
        if self._closed:
            raise RuntimeError(f'{self.path}: the page is closed')
        if self._file is None:
            self._size = frame.shape[:2]
            self._check_truth()
            before, _, self._after = _template(self._title).partition('<!-- frames -->')
            self._file = self._pending.temporary.open('w', encoding='utf-8')
            self._file.write(before)
        separator = ',\n' if self.num_frames else ''
        self._file.write(f'{separator}"{self._data_uri(frame)}"')
        labels = found.labels if found.track_labels is None else found.track_labels
        scores = found.scores if found.track_scores is None else found.track_scores
        rows = zip(found.track_ids.tolist(), labels.tolist(), scores.tolist(), found.masks)
        for row, (track_id, label, score, mask) in enumerate(rows):
            track = self._tracks.get(track_id)
            if track is not None:  # its newest class and score, wherever it is shown
                track.label, track.score = label, score
            if score < self._score_thr:
                continue
            if tuple(mask['size']) != tuple(self._size):
                raise ValueError(
                    f'{self.path}, frame {self.num_frames}: the mask of track {track_id} is '
                    f'{tuple(mask["size"])}, the frame {tuple(self._size)} (height, width)'
                )
            if track is None:
                track = self._tracks[track_id] = PageTrack(track_id, label, score)
            track.add(self.num_frames, mask, float(found.scores[row]))
        self.num_frames += 1

    def close(self) -> None:
        """Completes the page and gives it its name. Nothing happens when it is closed already.

        Raises:
            RuntimeError: No frame was added.
        """
        if self._closed:
            return
        try:
            if self._file is None:
                raise RuntimeError(f'{self.path}: no frame was added, so there is no page')
            before, _, after = self._after.partition('<!-- result -->')
            self._file.write(before)
            self._file.write(_script_json(self._result()))
            self._file.write(after)
            self._file.close()
            self._pending.commit()
        finally:
            self.abort()

    def abort(self) -> None:
        """Ends without a page and removes what was written so far."""
        self._closed = True
        if self._file is not None:
            self._file.close()
        self._pending.discard()

    def __enter__(self) -> ResultPageWriter:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: Any) -> None:
        if error_type is None:
            self.close()
        else:
            self.abort()

    def _check_truth(self) -> None:
        for track in self._truth or ():
            for index, mask in track.segmentations.items():
                if tuple(mask['size']) != tuple(self._size):
                    raise ValueError(
                        f'{self.path}: the ground truth of frame {index} is '
                        f'{tuple(mask["size"])}, the video {tuple(self._size)} (height, width); '
                        'is it of another video?'
                    )

    def _data_uri(self, frame: np.ndarray) -> str:
        height, width = frame.shape[:2]
        if width > self._width:
            size = (self._width, max(1, round(height * self._width / width)))
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        if cv2.haveImageWriter('.webp'):
            kind, suffix, quality = 'webp', '.webp', cv2.IMWRITE_WEBP_QUALITY
        else:
            kind, suffix, quality = 'jpeg', '.jpg', cv2.IMWRITE_JPEG_QUALITY
        # Small frames are shown enlarged, where faults are seen, and cost little.
        ok, data = cv2.imencode(suffix, frame, (quality, 75 if frame.shape[1] > 320 else 92))
        if not ok:
            raise RuntimeError(f'{self.path}: OpenCV cannot encode frame {self.num_frames}')
        return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'

    def _result(self) -> dict[str, Any]:
        """All that the page shows besides the frames."""
        kept = [
            track
            for _, track in sorted(self._tracks.items())
            if track.shapes and track.score >= self._score_thr
        ]
        tracks = [
            track.entry(self._name(track.label, self.class_names), _hex(track_colour(track.number)))
            for track in kept
        ]
        result = dict(
            title=self._title,
            height=self._size[0],
            width=self._size[1],
            fps=self._fps,
            numFrames=self.num_frames,
            scoreThr=self._score_thr,
            tracks=tracks,
            truth=None,
        )
        if self._truth is not None:
            result['truth'] = self._truth_entries(kept, tracks)
        return result

    def _truth_entries(self, kept: list[PageTrack], tracks: list[dict]) -> list[dict]:
        """Objects of the ground truth, each in the colour of the track that found it."""
        truth = []
        for track in self._truth:
            item = PageTrack(track.track_id, track.label, None)
            for index, mask in sorted(track.segmentations.items()):
                if index < self.num_frames:
                    item.add(index, mask, 1.0)
            if item.shapes:
                truth.append(item)
        entries = [item.entry(self._name(item.label, self._truth_names), _MISSED) for item in truth]
        for row, column, overlap in match_tracks(kept, truth):
            tracks[row]['match'] = dict(row=column, iou=overlap)
            entries[column]['match'] = dict(row=row, iou=overlap)
            entries[column]['colour'] = tracks[row]['colour']
        return entries

    @staticmethod
    def _name(label: int, names: Sequence[str]) -> str:
        return names[label] if 0 <= label < len(names) else f'class {label}'


def _template(title: str) -> str:
    """The page without frames and result."""
    folder = resources.files(__package__) / 'page'
    page, style, script = (
        (folder / f'result.{suffix}').read_text(encoding='utf-8')
        for suffix in ('html', 'css', 'js')
    )
    page = page.replace('<!-- style -->', style).replace('<!-- script -->', script)
    return page.replace('<!-- title -->', html.escape(title))


def _script_json(value: Any) -> str:
    """Json that can stand inside a script element, whatever texts it holds."""
    text = json.dumps(value, separators=(',', ':'), allow_nan=False)
    return text.replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')


def _hex(colour: tuple[int, int, int]) -> str:
    blue, green, red = colour
    return f'#{red:02x}{green:02x}{blue:02x}'
