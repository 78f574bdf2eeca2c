"""Results as files of masks: YouTube-VIS and COCO json, pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from mmdevis.structures import FrameTracks, Track
from mmdevis.utils.pending_file import PendingFile, whole_file
from mmdevis.visualization import track_palette

from .result_converters import TrackCollector, to_coco, track_scores, tracks_to_youtube_vis
from .result_outputs import ResultOutput


class YouTubeVISOutput(ResultOutput):
    """All tracks as results in YouTube-VIS format, which are scored and submitted.

    Args:
        path: The file, `.json`.
        video_id: `id` of the video in the annotation file.
        force: Whether an existing file may be replaced.
    """

    def __init__(self, path: Path, video_id: int = 1, force: bool = False) -> None:
        self._file = PendingFile(path, force)
        self._video_id = video_id
        self._category_ids: Sequence[int] | None = None
        self._collector = TrackCollector()

    def start(self, class_names: Sequence[str], category_ids: Sequence[int] | None) -> None:
        """Takes the categories."""
        self._category_ids = category_ids

    def add(self, frame: np.ndarray, found: FrameTracks) -> None:
        """Takes in the next frame."""
        self._collector.add(found)

    def finish(self, tracks: Sequence[Track] | None) -> str:
        """Writes the file."""
        kept = self._collector.tracks(tracks)
        entries = tracks_to_youtube_vis(
            kept, self._collector.num_frames, self._video_id, self._category_ids
        )
        with self._file.temporary.open('w') as file:
            _write_list(file, entries)
        self._file.commit()
        return f'{self._file.path}: {len(kept)} tracks in YouTube-VIS format'

    def discard(self) -> None:
        """Removes what is not finished."""
        self._file.discard()


class CocoOutput(ResultOutput):
    """All masks of all frames as COCO detection results, written as they come.

    Args:
        path: The file, `.json`.
        force: Whether an existing file may be replaced.
    """

    def __init__(self, path: Path, force: bool = False) -> None:
        self._pending = PendingFile(path, force)
        self._category_ids: Sequence[int] | None = None
        self._file: IO[str] | None = None
        self._count = 0

    def start(self, class_names: Sequence[str], category_ids: Sequence[int] | None) -> None:
        """Takes the categories."""
        self._category_ids = category_ids

    def add(self, frame: np.ndarray, found: FrameTracks) -> None:
        """Takes in the next frame."""
        if self._file is None:
            self._file = self._pending.temporary.open('w')
            self._file.write('[')
        detections = to_coco([found], category_ids=self._category_ids)
        for detection in detections:
            self._file.write((',\n' if self._count else '') + json.dumps(detection))
            self._count += 1

    def finish(self, tracks: Sequence[Track] | None) -> str:
        """Completes the file."""
        self._file.write(']\n')
        self._file.close()
        self._pending.commit()
        return f'{self._pending.path}: {self._count} masks as COCO RLE'

    def discard(self) -> None:
        """Removes what is not finished."""
        if self._file is not None:
            self._file.close()
        self._pending.discard()


class MaskFolderOutput(ResultOutput):
    """A picture per frame whose values are track numbers + 1, and 0 where there is no track.

    The pictures have a palette, so that people see the tracks in their colours; a frame with a
    number above 254 becomes a 16-bit picture. Where tracks overlap, the one that scores higher is
    in front. Each picture is final when it is written, so they are kept even if the process is
    killed.

    Args:
        folder: Where `000000.png`, `000001.png`, ... go.
        score_thr: Tracks that score less up to a frame are left out.
        force: Whether pictures of an earlier run may be replaced.

    Raises:
        FileExistsError: The folder has something in it and `force` is not set, or it is a file.
    """

    def __init__(self, folder: Path, score_thr: float = 0.3, force: bool = False) -> None:
        self._folder = Path(folder)
        if self._folder.exists() and not self._folder.is_dir():
            raise FileExistsError(f'{folder} is a file; masks need a folder (or a name in .json)')
        if self._folder.is_dir() and any(self._folder.iterdir()) and not force:
            raise FileExistsError(
                f'folder {folder} is not empty; choose another one, or set force=True (--force) to '
                'replace the masks in it'
            )
        self._score_thr = score_thr
        self._count = 0
        # Value 0 is black, then the colours that tracks have everywhere, RGB.
        colours = np.resize(track_palette()[:, ::-1], (255, 3))
        self._palette = np.concatenate([np.zeros((1, 3), np.uint8), colours]).tobytes()

    def add(self, frame: np.ndarray, found: FrameTracks) -> None:
        """Writes the picture of the next frame."""
        if self._count == 0:
            self._folder.mkdir(parents=True, exist_ok=True)
        values = np.zeros(frame.shape[:2], np.uint16)
        scores = np.asarray(track_scores(found))
        for row in np.argsort(scores, kind='stable'):
            if scores[row] >= self._score_thr:
                values[mask_utils.decode(found.masks[row]) > 0] = int(found.track_ids[row]) + 1
        if values.max(initial=0) > 255:
            picture = Image.fromarray(values)
        else:
            picture = Image.fromarray(values.astype(np.uint8))
            picture.putpalette(self._palette)
        with whole_file(self._folder / f'{self._count:06d}.png') as temporary:
            picture.save(temporary)
        self._count += 1

    def finish(self, tracks: Sequence[Track] | None) -> str:
        """Removes pictures that an earlier, longer run left."""
        for path in self._folder.glob('*.png'):
            if re.fullmatch(r'\d{6}', path.stem) and int(path.stem) >= self._count:
                path.unlink()
        return f'{self._folder}: {self._count} pictures, value = track number + 1'

    def discard(self) -> None:
        """Nothing to do: each picture is final."""


def _write_list(file: IO[str], entries: Iterable[dict]) -> None:
    """Writes a json list entry by entry: the text of all can be larger than what it says."""
    file.write('[')
    for number, entry in enumerate(entries):
        file.write((',\n' if number else '') + json.dumps(entry))
    file.write(']\n')
