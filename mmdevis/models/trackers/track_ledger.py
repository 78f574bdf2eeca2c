"""The written part of tracking: encoded frames that wait, frames given out, finished tracks."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from mmdevis.structures import FrameTracks, Track, encode_masks

from .clip_merging import MergedWindow
from .observations import Observations
from .track_record import KeptPrediction, TrackRecord

# Frame number -> track number -> what is kept of the track in the frame.
Frames = dict[int, dict[int, KeptPrediction]]


class TrackLedger:
    """Collects kept predictions until their frame is final, then the results of tracks.

    Args:
        class_policy (str): See :class:`TrackRecord`.
        score_policy (str): See :class:`TrackRecord`.
        keep_segmentations (bool): See :class:`TrackRecord`.
        min_frame_score (float): Predictions that score less are left out.
        min_track_score (float): Finished tracks that score this or less are dropped.
        max_missing (int, optional): Frames after which an unseen track is finished.
        mask_threshold (float): Pixels above it, of 0..1, belong to a mask.
    """

    def __init__(
        self,
        class_policy: str,
        score_policy: str,
        keep_segmentations: bool,
        min_frame_score: float,
        min_track_score: float,
        max_missing: int | None,
        mask_threshold: float,
    ) -> None:
        self.min_frame_score = min_frame_score
        self._mask_threshold = mask_threshold
        self._min_track_score = min_track_score
        self._max_missing = max_missing
        self._record_settings = (class_policy, score_policy, keep_segmentations)
        self._waiting: Frames = {}
        self._records: dict[int, TrackRecord] = {}
        self._finished: list[Track] = []
        self._final_before: int | None = None

    def is_written(self, frame: int) -> bool:
        """Whether a frame waits here or was given out."""
        given_out = self._final_before is not None and frame < self._final_before
        return given_out or frame in self._waiting

    def improved(self, clip: Observations, track_ids: list[int]) -> Frames:
        """What waiting frames become when predictions of a clip that score higher replace others.

        Args:
            clip (Observations): K instances.
            track_ids (list[int]): Their K track numbers.

        Returns:
            Frames: New contents of the waiting frames in the clip, for :meth:`write`.
        """
        result = {}
        for column, frame in enumerate(clip.frames):
            if frame not in self._waiting:
                continue
            before = self._waiting[frame]
            better = [
                row
                for row, score in enumerate(clip.scores[:, column].tolist())
                if score >= self.min_frame_score
                and (track_ids[row] not in before or score > before[track_ids[row]].score)
            ]
            rows = clip.rows[better, column].to(clip.masks.device)
            encoded = encode_masks(clip.masks[column][rows] > self._mask_threshold)
            result[frame] = before | {
                track_ids[row]: KeptPrediction(
                    float(clip.scores[row, column]), int(clip.labels[row, column]), mask
                )
                for row, mask in zip(better, encoded)
            }
        return result

    def encoded(self, merged: MergedWindow, track_ids: list[int], columns: range) -> Frames:
        """Encode frames of the track memory, each distinct mask once.

        Args:
            merged (MergedWindow): N tracks.
            track_ids (list[int]): Their N numbers.
            columns (range): Positions of the frames.

        Returns:
            Frames: Contents of these frames, for :meth:`write`.
        """
        result = {}
        for column in columns:
            kept = merged.valid[:, column] & (merged.scores[:, column] >= self.min_frame_score)
            rows = kept.nonzero()[:, 0]
            codes, which = merged.codes[rows, column].unique(return_inverse=True)
            binary = [merged.mask(column, code) > self._mask_threshold for code in codes.tolist()]
            masks = encode_masks(torch.stack(binary)) if binary else []
            scores, labels = merged.scores[rows, column], merged.labels[rows, column]
            result[merged.frames[column]] = {
                track_ids[row]: KeptPrediction(score, label, masks[code])
                for row, score, label, code in zip(
                    rows.tolist(), scores.tolist(), labels.tolist(), which.tolist()
                )
            }
        return result

    def write(self, frames: Frames) -> None:
        """Set the contents of frames that wait to become final."""
        self._waiting.update(frames)

    def give_out(self, before: int | None, alive: Iterable[int] = ()) -> list[FrameTracks]:
        """Hand over waiting frames, in order.

        Args:
            before (int, optional): Only frames below this one; None for all.
            alive (Iterable[int]): Tracks that may still get frames and must not be finished.

        Returns:
            list[FrameTracks]: The frames. They are not kept here.
        """
        frames = [frame for frame in sorted(self._waiting) if before is None or frame < before]
        results = [self._frame_result(frame, self._waiting.pop(frame)) for frame in frames]
        if frames:
            self._final_before = frames[-1] + 1
            self._finish_missing(alive)
        return results

    def finish_all(self) -> None:
        """Finish all tracks that have a record."""
        self._finish(list(self._records))

    def pop_finished(self) -> list[Track]:
        """Finished tracks by number, each handed over once."""
        finished, self._finished = self._finished, []
        return sorted(finished, key=lambda track: track.track_id)

    def _frame_result(self, frame: int, contents: dict[int, KeptPrediction]) -> FrameTracks:
        """Enter a final frame into the records."""
        track_ids = sorted(contents)
        kept = [contents[track_id] for track_id in track_ids]
        records = []
        for track_id, prediction in zip(track_ids, kept):
            if track_id not in self._records:
                self._records[track_id] = TrackRecord(track_id, *self._record_settings)
            self._records[track_id].add(frame, prediction)
            records.append(self._records[track_id])
        return FrameTracks(
            frame_index=frame,
            track_ids=torch.tensor(track_ids, dtype=torch.long),
            labels=torch.tensor([x.label for x in kept], dtype=torch.long),
            scores=torch.tensor([x.score for x in kept], dtype=torch.float),
            masks=[x.mask for x in kept],
            track_labels=torch.tensor([x.label for x in records], dtype=torch.long),
            track_scores=torch.tensor([x.score for x in records], dtype=torch.float),
        )

    def _finish_missing(self, alive: Iterable[int]) -> None:
        """Finish tracks unseen for more than ``max_missing`` frames."""
        if self._max_missing is None:
            return
        waiting = {track_id for contents in self._waiting.values() for track_id in contents}
        spared = waiting.union(alive)
        newest = self._final_before - 1
        self._finish(
            [
                track_id
                for track_id, record in self._records.items()
                if newest - record.last_seen > self._max_missing and track_id not in spared
            ]
        )

    def _finish(self, track_ids: list[int]) -> None:
        """Turn records into finished tracks, dropping those that score too little."""
        for track_id in track_ids:
            record = self._records.pop(track_id)
            if record.score > self._min_track_score:
                self._finished.append(record.finish())
