"""Multi-cue clip tracking (paper, section 3.5): clips in, tracks out, frame by frame."""

from __future__ import annotations

from copy import copy

import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor

from mmdevis.structures import ClipPrediction, FrameTracks, Track

from .clip_costs import ClipCost, assign, same_class
from .clip_merging import MergedWindow
from .duplicates import without_duplicates
from .lost_tracks import LostTracks
from .motion import MaskGeometry, MotionMemory
from .observations import Observations, common_frames
from .track_ledger import TrackLedger
from .track_record import CLASS_POLICIES, SCORE_POLICIES


@TASK_UTILS.register_module()
class MultiCueClipTracker:
    """Joins the instances of overlapping clips to tracks of any length.

    Tracks and instances of the next clip are matched by the Hungarian algorithm with the cost of
    :class:`ClipCost` over the frames that both know. In common frames the prediction with the
    higher score is kept. Instances without a match start tracks; tracks that no longer overlap
    with the newest clip end.

    Of the masks, only those that the next clip will be compared with are kept as tensors; all
    others are run-length encoded. A frame is given out as soon as no later clip can change it.
    The object holds the state of one video; use one per stream (see :meth:`new`).

    Args:
        mask_weight (float): Weight of the soft volumetric mask IoU.
        class_weight (float): Weight of equal classes.
        score_weight (float): Weight of the score difference.
        center_weight (float): Weight of the centre difference (1 for OVIS in the release).
        binary_masks (bool): IoU of thresholded masks instead of probabilities.
        per_frame_iou (bool): Mean of single frames' IoU instead of the volumetric IoU.
        per_class_matching (bool): Match only instances and tracks of one class.
        final_class_policy (str): 'most_common' or 'score_weighted', see :class:`TrackRecord`.
        final_score_policy (str): 'mean' or 'median'.
        min_frame_score (float): A track has no mask in frames that score less.
        min_track_score (float): Finished tracks that score this or less are dropped.
        mask_threshold (float): Probability, 0..1, above which a pixel belongs to a final mask.
        merge_ignored_frames (bool): Leading frames of the last clip that are ignored for matching
            (``ClipPrediction.num_ignored``) still replace predictions with lower scores. False:
            they are not used at all.
        match_threshold (float, optional): Pairs that cost more are never matched. None: off.
        birth_threshold (float): Instances whose mean score is lower start no track. 0: off.
        death_threshold (float): Instances whose mean score is lower are not used: a track that only
            they would continue ends, or is lost for re-identification. 0: off.
        duplicate_iou (float, optional): Instances of a clip whose masks overlap more than this (IoU
            over the clip) with one of a higher mean score are not used, whatever their classes.
            None: all are used, as in the release.
        motion_weight (float): Weight of the distance between an instance and where its track's
            motion leads, in object sizes (see :class:`MotionMemory`). Not in the paper. 0: off.
        motion_history (int): Frames that a track's motion is estimated from.
        confidence_weight (float): With ``motion_weight``, the pairs that may be matched are ranked
            by their cost less this times the instance's mean score times the track's confidence
            (mean score in its last ``motion_history`` frames): faint second predictions of an
            object then leave the established track to the sure one. 0: off.
        untangle_margin (float, optional): With ``motion_weight``, instances of one class that a
            clip confuses are exchanged in the frames where this brings them nearer by this many
            object sizes to where their tracks should be. None: off.
        reid_window (int): A track can be taken up again until this many frames after it was last
            seen, by the cost between its last sight and the first frame of instances that matched
            nothing. With ``motion_weight`` lost tracks take part in the matching instead, with
            ``1 - distance`` from where their motion leads in place of the mask IoU. 0: off.
        reid_threshold (float): Highest cost at which that happens.
        max_missing (int, optional): Tracks unseen for more than this many frames are finished at
            once and handed out by :meth:`pop_finished`. None: all tracks finish with the video.
        keep_segmentations (bool): Keep run-length masks and scores per frame for the finished
            tracks. Turn off for endless videos: memory then does not grow with their length.

    Raises:
        ValueError: For an unknown policy, a negative window, ``reid_window`` above
            ``max_missing``, or less than 2 frames of motion.
    """

    def __init__(
        self,
        mask_weight: float = 1.0,
        class_weight: float = 1.0,
        score_weight: float = 1.0,
        center_weight: float = 0.0,
        *,
        binary_masks: bool = False,
        per_frame_iou: bool = False,
        per_class_matching: bool = False,
        final_class_policy: str = 'most_common',
        final_score_policy: str = 'mean',
        min_frame_score: float = 0.001,
        min_track_score: float = 0.002,
        mask_threshold: float = 0.5,
        merge_ignored_frames: bool = True,
        match_threshold: float | None = None,
        birth_threshold: float = 0.0,
        death_threshold: float = 0.0,
        duplicate_iou: float | None = None,
        motion_weight: float = 0.0,
        motion_history: int = 8,
        confidence_weight: float = 0.0,
        untangle_margin: float | None = None,
        reid_window: int = 0,
        reid_threshold: float = -1.0,
        max_missing: int | None = None,
        keep_segmentations: bool = True,
    ) -> None:
        _check_choice('final_class_policy', final_class_policy, CLASS_POLICIES)
        _check_choice('final_score_policy', final_score_policy, SCORE_POLICIES)
        if reid_window < 0 or (max_missing is not None and max_missing < reid_window):
            raise ValueError(
                f'reid_window must be in 0..max_missing, got reid_window={reid_window} and '
                f'max_missing={max_missing}: a track that is finished cannot be taken up again'
            )
        if motion_history < 2:
            raise ValueError(f'motion needs motion_history >= 2 frames, got {motion_history}')
        self.cost = ClipCost(
            mask_weight, class_weight, score_weight, center_weight, binary_masks, per_frame_iou
        )
        self.per_class_matching = per_class_matching
        self.final_class_policy = final_class_policy
        self.final_score_policy = final_score_policy
        self.min_frame_score = min_frame_score
        self.min_track_score = min_track_score
        self.mask_threshold = mask_threshold
        self.merge_ignored_frames = merge_ignored_frames
        self.match_threshold = match_threshold
        self.birth_threshold = birth_threshold
        self.death_threshold = death_threshold
        self.duplicate_iou = duplicate_iou
        self.motion_weight = motion_weight
        self.motion_history = motion_history
        self.confidence_weight = confidence_weight
        self.untangle_margin = untangle_margin
        self.reid_window = reid_window
        self.reid_threshold = reid_threshold
        self.max_missing = max_missing
        self.keep_segmentations = keep_segmentations
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next clip starts a new video, track numbers start at 0."""
        self._window: Observations | None = None  # masks that the next clip is compared with
        self._track_ids: list[int] = []  # of the rows of the window
        self._lost = LostTracks(self.reid_window, self.reid_threshold)
        self._motion = MotionMemory(self.motion_history)
        self._ledger = TrackLedger(
            self.final_class_policy,
            self.final_score_policy,
            self.keep_segmentations,
            self.min_frame_score,
            self.min_track_score,
            self.max_missing,
            self.mask_threshold,
        )
        self._next_id = 0
        self._last_start: int | None = None

    def new(self) -> MultiCueClipTracker:
        """A tracker with the same settings and a state of its own, empty."""
        tracker = copy(self)
        tracker.reset()
        return tracker

    @property
    def num_buffered_masks(self) -> int:
        """Number of (H, W) masks held as tensors."""
        sources = (self._window, self._lost.sights)
        return sum(x.masks.shape[0] * x.masks.shape[1] for x in sources if x is not None)

    def update(self, clip: ClipPrediction, next_start: int | None = None) -> list[FrameTracks]:
        """Take in the next clip. If this raises, nothing has changed.

        Args:
            clip (ClipPrediction): Starts later than all clips before it.
            next_start (int, optional): First frame that later clips will be matched on, if known:
                earlier frames are encoded at once, which saves memory. Results do not depend on
                it, unless re-identification is on: a track counts as lost when it is in no frame
                from here on. Default: the second frame of this clip.

        Returns:
            list[FrameTracks]: Frames that became final, in order: up to this clip's first frame,
            because all later clips start later.

        Raises:
            ValueError: If the clip comes out of order, its masks have another size than before, or
                scores or costs are not finite; the message names the frames.
        """
        self._check(clip)
        start = int(clip.frame_indices[0])
        seen = Observations.from_clip(clip)
        if not self.merge_ignored_frames:
            seen = seen.select_frames(range(clip.num_ignored, clip.num_frames))
        if self.duplicate_iou is not None:
            seen = seen.select_instances(without_duplicates(seen, self.duplicate_iou))
        window = Observations.empty(seen) if self._window is None else self._window

        # A row of the new memory for every instance that is used.
        geometry = MaskGeometry(seen) if self.motion_weight else None
        ids, rows, returned = self._associate(window, seen, clip, geometry)
        used = rows >= 0
        seen, rows = seen.select_instances(used), rows[used]
        seen_ids = [ids[row] for row in rows.tolist()]
        if self.motion_weight and self.untangle_margin is not None:
            seen = self._motion.untangled(seen, seen_ids, self.untangle_margin, geometry)
        written = self._ledger.improved(seen, seen_ids)
        open_columns = [
            column for column, frame in enumerate(seen.frames) if not self._ledger.is_written(frame)
        ]
        merged = MergedWindow(window, seen.select_frames(open_columns), rows, len(ids))

        # What later clips are not matched on is encoded, the rest is remembered.
        now = start + 1 if next_start is None else max(next_start, start + 1)
        first = sum(frame < now for frame in merged.frames)
        written |= self._ledger.encoded(merged, ids, range(first))
        window, tracks = merged.keep(first)
        gone = merged.valid.any(1)
        gone[tracks] = False
        left = gone.nonzero()[:, 0]
        lost = self._lost.updated(merged, left, [ids[row] for row in left.tolist()], returned, now)
        track_ids = [ids[row] for row in tracks.tolist()]
        motion = self._motion
        if self.motion_weight:
            kept = {*track_ids, *lost.track_ids}
            motion = motion.updated(seen, seen_ids, kept, geometry)

        # Nothing below can fail: the new state is complete.
        self._window, self._track_ids = window, track_ids
        self._lost, self._motion, self._last_start = lost, motion, start
        self._next_id = max([self._next_id, *(track_id + 1 for track_id in ids)])
        self._ledger.write(written)
        return self.advance(start + 1)

    def advance(self, final_before: int) -> list[FrameTracks]:
        """Declare that no later clip may change frames before ``final_before``.

        Later clips may still contain such frames; what they say about them is not used. Only
        frames that are encoded already become final: those from ``next_start`` of the newest clip
        on stay.

        Args:
            final_before (int): Frame number.

        Returns:
            list[FrameTracks]: Frames that became final by this, in order.
        """
        return self._ledger.give_out(final_before, [*self._track_ids, *self._lost.track_ids])

    def flush(self) -> tuple[list[FrameTracks], list[Track]]:
        """End the video. Afterwards the tracker is empty, ready for another one.

        Returns:
            tuple[list[FrameTracks], list[Track]]: The frames that were not given out yet, and the
            finished tracks by number, without those that :meth:`pop_finished` gave out. Tracks
            without a frame or scoring at most ``min_track_score`` are missing; their numbers can
            occur in frames.
        """
        if self._window is not None:
            nothing = Observations.empty(self._window)
            merged = MergedWindow(
                self._window, nothing, torch.zeros(0, dtype=torch.long), len(self._window)
            )
            columns = range(len(merged.frames))
            self._ledger.write(self._ledger.encoded(merged, self._track_ids, columns))
        frames = self._ledger.give_out(before=None)
        self._ledger.finish_all()
        tracks = self._ledger.pop_finished()
        self.reset()
        return frames, tracks

    def pop_finished(self) -> list[Track]:
        """Tracks that finished before the end of the video, each given out once."""
        return self._ledger.pop_finished()

    def _check(self, clip: ClipPrediction) -> None:
        """Refuse clips that do not continue the video."""
        frames = clip.frame_indices
        name = f'the clip of frames {frames[0]}..{frames[-1]}'
        if (frames.diff() <= 0).any():
            raise ValueError(
                f'frames of a clip must increase, got {frames.tolist()}; cut the extension of a '
                'short video off with ClipPrediction.head()'
            )
        if self._last_start is not None and frames[0] <= self._last_start:
            raise ValueError(
                f'{name} must start after frame {self._last_start}, where the clip before it '
                'started; call reset() before another video'
            )
        if self._window is not None and clip.image_size != tuple(self._window.masks.shape[-2:]):
            raise ValueError(
                f'masks of {name} are {clip.image_size} (h, w), those before '
                f'{tuple(self._window.masks.shape[-2:])}; all frames of a video need one size'
            )
        if not clip.scores.isfinite().all():
            raise ValueError(f'scores of {name} are not finite; check the weights and the input')

    def _associate(
        self,
        window: Observations,
        seen: Observations,
        clip: ClipPrediction,
        geometry: MaskGeometry | None,
    ) -> tuple[list[int], Tensor, set[int]]:
        """Find out which instance continues which track, with the geometry by motion too.

        Returns:
            tuple[list[int], Tensor, set[int]]: Numbers of all tracks, those of the window first;
            (K,) long, position of each instance in it, -1 for instances that are not used; and the
            numbers of lost tracks that came back.
        """
        ids, rows = list(self._track_ids), torch.full((len(seen),), -1)
        counted = set(clip.frame_indices[clip.num_ignored :].tolist())
        matchable = seen.select_frames(
            [column for column, frame in enumerate(seen.frames) if frame in counted]
        )
        mean_scores = seen.scores.mean(1)
        alive = (mean_scores >= self.death_threshold).nonzero()[:, 0]
        usable = matchable.select_instances(alive)
        cost, allowed = self._window_cost(window, usable)
        moving = bool(geometry and len(alive) and matchable.frames)
        if moving:
            cost += self.motion_weight * self._motion.distance(ids, usable, geometry)
        if self.match_threshold is not None:
            allowed &= cost <= self.match_threshold
        if moving:
            # Tracks in the memory and lost ones compete for the instances.
            lost_cost, near = self._lost.motion_cost(
                usable, self.cost, self._motion, self.motion_weight, geometry
            )
            confidence = self._motion.confidence([*ids, *self._lost.track_ids])
            sure = confidence[:, None] * mean_scores[alive]
            costs = torch.cat([cost, lost_cost]) - self.confidence_weight * sure
            matched, which = assign(costs, torch.cat([allowed, near]))
            from_lost = matched >= len(ids)
            back = matched[from_lost] - len(ids)
            matched[from_lost] = torch.arange(len(ids), len(ids) + len(back))
            rows[alive[which]] = matched
        else:
            matched, which = assign(cost, allowed)
            rows[alive[which]] = matched
            free = alive[rows[alive] < 0]
            back, which = self._lost.match(matchable.select_instances(free), self.cost)
            rows[free[which]] = torch.arange(len(ids), len(ids) + len(back))
        returned = [self._lost.track_ids[position] for position in back.tolist()]
        ids += returned
        needed = max(self.birth_threshold, self.death_threshold)
        born = (rows < 0) & (mean_scores >= needed)
        rows[born] = torch.arange(len(ids), len(ids) + int(born.sum()))
        ids += range(self._next_id, self._next_id + int(born.sum()))
        return ids, rows, set(returned)

    def _window_cost(self, window: Observations, usable: Observations) -> tuple[Tensor, Tensor]:
        """Cost (N, K) of the memory's tracks and usable instances, and which may be matched."""
        tracks, instances = common_frames(window, usable)
        if not (len(tracks) and len(instances) and tracks.frames):
            shape = len(window), len(usable)
            return torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
        cost, allowed = self.cost(tracks, instances)
        if not cost.isfinite().all():
            raise ValueError(
                f'matching costs of frames {tracks.frames} are not finite: masks or centres '
                'contain NaN; check the weights and the input'
            )
        if self.per_class_matching:
            both = tracks.valid[:, None] & instances.valid[None]
            allowed &= (both & same_class(tracks, instances)).any(-1)
        return cost, allowed


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f'{name} must be one of {choices}, got {value!r}')
