"""Near-online inference: frames in one by one, tracks out as soon as they are final."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

from mmdevis.models.trackers import MultiCueClipTracker
from mmdevis.structures import ClipPrediction, FrameTracks, Track

from .clip_scheduler import ClipPlan, ClipScheduler

LATENCIES = ('exact', 'low')

PredictClip = Callable[[list[Any], list[int]], ClipPrediction]
PredictClips = Callable[[list[list[Any]], list[list[int]]], Iterable[ClipPrediction]]


class _WaitingClip(NamedTuple):
    """A clip that runs with the next batch."""

    plan: ClipPlan
    frames: list[Any]  # T, as they were pushed


class VideoStream:
    """Tracks of one video, pushed frame by frame, in bounded memory.

    At most T + (B - 1) S frames and the masks of one overlap are held. All state is here, in the
    stream's own tracker and in ``predict_clip``, of which the stream lets go in the end: DeVIS
    holds maps of the frames that clips share there.

    Exact mode gives the same tracks as the whole video at once. A frame is given out when no clip
    can change it any more, which takes at most min(T, T + S - 2) frames (the last clip of a video
    ends at the last frame, wherever that is), and (B - 1) S more when B clips run together.
    Low-latency mode gives every frame out at most T - 1 frames after it arrived. Then the last
    clip no longer changes the frames that it shares with the clip before it outside the usual
    overlap: up to S - 1 frames from L - T on in a video of L frames, and with them the final class
    and score of tracks, may differ from exact mode.

    Args:
        predict_clip (Callable): Takes a list of T frames, as they were pushed, and the list of
            their numbers; returns a :class:`ClipPrediction` of these frames. For a video shorter
            than T frames repeat at the end; the prediction may leave the repetitions out.
        tracker (MultiCueClipTracker): Gives the settings; the stream uses ``tracker.new()``.
        num_frames (int): Frames per clip T.
        stride (int): Frames between the starts of clips S, 1..T-1; 1 where T is 1.
        latency (str): 'exact' or 'low'.
        batch_size (int): Clips B that wait for one another and run together, 1 in low-latency mode.
        predict_clips (Callable, optional): Does what ``predict_clip`` does for lists of up to B
            clips and of their frame numbers, one prediction after the other. Default: a loop.

    Raises:
        ValueError: For a stride that leaves no overlap, clips of one frame without
            re-identification, an unknown latency, or a batch size that is not positive or adds
            latency in low-latency mode.

    Examples:
        >>> with VideoStream(predict_clip, tracker, num_frames=6, stride=4) as stream:
        ...     for frame in source:
        ...         show(stream.push(frame))
        ...     last_frames, tracks = stream.close()
    """

    def __init__(
        self,
        predict_clip: PredictClip,
        tracker: MultiCueClipTracker,
        num_frames: int,
        stride: int,
        latency: str = 'exact',
        batch_size: int = 1,
        predict_clips: PredictClips | None = None,
    ) -> None:
        if latency not in LATENCIES:
            raise ValueError(f'latency must be one of {LATENCIES}, got {latency!r}')
        if batch_size < 1 or (batch_size > 1 and latency == 'low'):
            raise ValueError(
                f"batch_size must be at least 1, and 1 with latency='low' (clips wait for one "
                f'another in a batch), got {batch_size}'
            )
        self.scheduler = ClipScheduler(num_frames, stride)
        if num_frames == 1 and tracker.reid_window < 1:
            raise ValueError(
                'clips of one frame share no frames that could join them to tracks: switch '
                're-identification on, tracker=dict(reid_window=1, reid_threshold=...) in the '
                "model's config, or use a model with more frames per clip"
            )
        self.tracker = tracker.new()
        self._predict_clips: PredictClips | None = predict_clips or partial(map, predict_clip)
        self._low_latency = latency == 'low'
        self._batch_size = batch_size
        self._frames: deque[Any] = deque(maxlen=num_frames)
        self._waiting: deque[_WaitingClip] = deque()
        self._final: list[FrameTracks] = []
        self._num_seen = 0
        self._closed = False

    @property
    def num_seen(self) -> int:
        """Number of frames pushed."""
        return self._num_seen

    @property
    def closed(self) -> bool:
        """Whether the stream has ended."""
        return self._closed

    def push(self, frame: Any) -> list[FrameTracks]:
        """Take in the next frame.

        If the prediction or the tracker raises, the frame counts as not pushed: push it again, or
        go on to :meth:`close` with the frames before it.

        Args:
            frame (Any): Handed to ``predict_clip`` as it is.

        Returns:
            list[FrameTracks]: Frames that became final, in order, each exactly once.

        Raises:
            RuntimeError: If the stream is closed.
        """
        self._check_open()
        num_seen = self._num_seen + 1
        plan = self.scheduler.after_frame(num_seen)
        if plan is not None:
            frames = [*self._frames, frame][-self.scheduler.num_frames :]
            clips = [*self._waiting, self._clip(plan, frames, num_seen)]
            if len(clips) < self._batch_size:
                self._waiting.append(clips[-1])
            else:
                self._run(clips)
        self._frames.append(frame)
        self._num_seen = num_seen
        if not self._low_latency:
            # The tracker holds back what clips that wait for their batch are matched on.
            self._final += self.tracker.advance(self.scheduler.final_before(num_seen))
        elif plan is not None:
            self._final += self.tracker.advance(plan.next_start)
        return self._take_final()

    def close(self) -> tuple[list[FrameTracks], list[Track]]:
        """End the video: run the last clip and hand over what is left.

        If the prediction raises, the stream stays open: try again, or leave it with
        :meth:`release`.

        Returns:
            tuple[list[FrameTracks], list[Track]]: The frames that were not given out yet, and the
            finished tracks.

        Raises:
            ValueError: If no frame was pushed.
            RuntimeError: If the stream is closed.
        """
        self._check_open()
        if self._num_seen == 0:
            raise ValueError('the video has no frame: nothing was pushed before close()')
        plan = self.scheduler.at_end(self._num_seen)
        clips = list(self._waiting)
        if plan is not None:
            clips.append(self._clip(plan, list(self._frames), self._num_seen))
        while clips:
            self._run(clips[: self._batch_size])
            clips = clips[self._batch_size :]
        frames, tracks = self.tracker.flush()
        frames = self._take_final() + frames
        self.release()
        return frames, tracks

    def pop_finished(self) -> list[Track]:
        """Tracks that finished already (``max_missing`` of the tracker), each given out once."""
        return self.tracker.pop_finished()

    def release(self) -> None:
        """Drop all frames and tracks and end the stream without a result."""
        self._frames.clear()
        self._waiting.clear()
        self._final.clear()
        self.tracker.reset()
        self._predict_clips = None  # and what it holds
        self._closed = True

    def __enter__(self) -> VideoStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    @staticmethod
    def _clip(plan: ClipPlan, frames: list[Any], num_seen: int) -> _WaitingClip:
        """The frames of a plan out of the newest ones."""
        oldest = num_seen - len(frames)
        return _WaitingClip(plan, [frames[index - oldest] for index in plan.frame_indices])

    def _run(self, clips: Sequence[_WaitingClip]) -> None:
        """Predict the waiting clips, and perhaps one more, and give them to the tracker.

        What the tracker has taken in is no longer waiting when a later prediction raises.
        """
        predictions = self._predict_clips(
            [clip.frames for clip in clips], [list(clip.plan.frame_indices) for clip in clips]
        )
        for (plan, _), prediction in zip(clips, predictions, strict=True):
            prediction = prediction.head(plan.num_real)
            if prediction.frame_indices.tolist() != list(plan.frame_indices[: plan.num_real]):
                raise ValueError(
                    f'predict_clip was asked for frames {list(plan.frame_indices)} and answered '
                    f'for {prediction.frame_indices.tolist()}'
                )
            prediction.num_ignored = plan.num_ignored
            self._final += self.tracker.update(prediction, plan.next_start)
            if self._waiting:
                self._waiting.popleft()

    def _take_final(self) -> list[FrameTracks]:
        final, self._final = self._final, []
        return final

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError('the stream is closed; make a new VideoStream for another video')
