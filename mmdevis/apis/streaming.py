"""Near-online inference: frames in one by one, tracks out as soon as they are final."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from mmdevis.models.trackers import MultiCueClipTracker
from mmdevis.structures import ClipPrediction, FrameTracks, Track

LATENCIES = ('exact', 'low')

PredictClip = Callable[[list[Any], list[int]], ClipPrediction]


@dataclass(frozen=True)
class ClipPlan:
    """A clip to run.

    Args:
        frame_indices (tuple[int, ...]): T frame numbers. In a video shorter than T they go back
            and forth.
        num_real (int): Leading frames that are not such an extension.
        num_ignored (int): Leading frames to ignore when matching (the last clip only).
        next_start (int): First frame that later clips are matched on.
    """

    frame_indices: tuple[int, ...]
    num_real: int
    num_ignored: int
    next_start: int


class ClipScheduler:
    """Which clips cover a video whose end is not known yet.

    Clips of T frames start at 0, S, 2S, ... When the video ends inside a stride, one more clip ends
    at the last frame; its leading frames that the clip before it covers outside the usual overlap
    are ignored for matching. A video shorter than T is one clip, extended back and forth:
    0 1 2 3 2 1 0 1 ...

    Args:
        num_frames (int): Frames per clip T, at least 2.
        stride (int): Frames between the starts of clips S, 1..T-1: clips must overlap.

    Raises:
        ValueError: If there is no overlap.
    """

    def __init__(self, num_frames: int, stride: int) -> None:
        if num_frames < 2:
            raise ValueError(f'num_frames must be at least 2 to track over clips, got {num_frames}')
        if not 1 <= stride < num_frames:
            raise ValueError(
                f'stride must be in 1..{num_frames - 1} for clips of {num_frames} frames, got '
                f'{stride}: clips are joined by the frames they share. Lower the stride '
                '(test_cfg.stride, --stride) or raise num_frames'
            )
        self.num_frames = num_frames
        self.stride = stride

    def after_frame(self, num_seen: int) -> ClipPlan | None:
        """The clip to run when ``num_seen`` frames have arrived, if one ends there."""
        start = num_seen - self.num_frames
        if start < 0 or start % self.stride:
            return None
        return self._plan(start, num_ignored=0, next_start=start + self.stride)

    def at_end(self, num_seen: int) -> ClipPlan | None:
        """The clip still to run when the video turns out to have ``num_seen`` frames, if any."""
        if num_seen == 0 or self.after_frame(num_seen) is not None:
            return None
        if num_seen < self.num_frames:
            return ClipPlan(tuple(back_and_forth(num_seen, self.num_frames)), num_seen, 0, num_seen)
        start = num_seen - self.num_frames
        return self._plan(start, self.stride - start % self.stride, next_start=num_seen)

    def final_before(self, num_seen: int) -> int:
        """First frame that can still change when ``num_seen`` frames have arrived.

        Clips still to come are regular ones, which start after the newest, and a last one, which
        starts no earlier than T frames before the frame that comes next.
        """
        # Where the last clip would start if the video ended now. If a regular clip has just run
        # there, the next possible one starts a frame later.
        last_start = num_seen - self.num_frames
        if last_start < 0:
            return 0
        return last_start + 1 if last_start % self.stride == 0 else last_start

    def clips(self, length: int) -> list[ClipPlan]:
        """All clips of a video of ``length`` frames."""
        plans = [self.after_frame(num_seen) for num_seen in range(1, length + 1)]
        return [plan for plan in (*plans, self.at_end(length)) if plan is not None]

    def _plan(self, start: int, num_ignored: int, next_start: int) -> ClipPlan:
        frames = tuple(range(start, start + self.num_frames))
        return ClipPlan(frames, self.num_frames, num_ignored, next_start)


def back_and_forth(length: int, num_frames: int) -> list[int]:
    """Frame numbers of a clip of ``num_frames`` frames from a video of ``length`` frames.

    >>> back_and_forth(4, 9)
    [0, 1, 2, 3, 2, 1, 0, 1, 2]
    """
    period = max(2 * (length - 1), 1)
    phases = (index % period for index in range(num_frames))
    return [min(phase, period - phase) if length > 1 else 0 for phase in phases]


class VideoStream:
    """Tracks of one video, pushed frame by frame, in bounded memory.

    At most T frames and the masks of one overlap are held. All state is here and in the stream's
    own tracker, so that any number of streams can share one ``predict_clip``.

    Exact mode gives the same tracks as the whole video at once (it is the same code). A frame is
    given out when no clip can change it any more, which takes at most T frames (the last clip of a
    video ends at the last frame, wherever that is). Low-latency mode gives every frame out at most
    T - 1 frames after it arrived. Then the last clip no longer changes the frames that it shares
    with the clip before it outside the usual overlap: up to S - 1 frames from L - T on in a video
    of L frames, and with them the final class and score of tracks, may differ from exact mode.

    Args:
        predict_clip (Callable): Takes a list of T frames, as they were pushed, and the list of
            their numbers; returns a :class:`ClipPrediction` of these frames. For a video shorter
            than T frames repeat at the end; the prediction may leave the repetitions out.
        tracker (MultiCueClipTracker): Gives the settings; the stream uses ``tracker.new()``.
        num_frames (int): Frames per clip T.
        stride (int): Frames between the starts of clips S, 1..T-1.
        latency (str): 'exact' or 'low'.

    Raises:
        ValueError: For a stride that leaves no overlap, or an unknown latency.

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
    ) -> None:
        if latency not in LATENCIES:
            raise ValueError(f'latency must be one of {LATENCIES}, got {latency!r}')
        self.scheduler = ClipScheduler(num_frames, stride)
        self.tracker = tracker.new()
        self._predict_clip = predict_clip
        self._low_latency = latency == 'low'
        self._frames: deque[Any] = deque(maxlen=num_frames)
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
        frames = [*self._frames, frame][-self.scheduler.num_frames :]
        plan = self.scheduler.after_frame(num_seen)
        final = [] if plan is None else self._run(plan, frames, num_seen)
        self._frames.append(frame)
        self._num_seen = num_seen
        if not self._low_latency:
            final += self.tracker.advance(self.scheduler.final_before(num_seen))
        elif plan is not None:
            final += self.tracker.advance(plan.next_start)
        return final

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
        final = [] if plan is None else self._run(plan, list(self._frames), self._num_seen)
        frames, tracks = self.tracker.flush()
        self.release()
        return final + frames, tracks

    def pop_finished(self) -> list[Track]:
        """Tracks that finished already (``max_missing`` of the tracker), each given out once."""
        return self.tracker.pop_finished()

    def release(self) -> None:
        """Drop all frames and tracks and end the stream without a result."""
        self._frames.clear()
        self.tracker.reset()
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

    def _run(self, plan: ClipPlan, frames: list[Any], num_seen: int) -> list[FrameTracks]:
        """Predict a clip from the newest frames and give it to the tracker."""
        oldest = num_seen - len(frames)
        clip = self._predict_clip(
            [frames[index - oldest] for index in plan.frame_indices], list(plan.frame_indices)
        )
        clip = clip.head(plan.num_real)
        if clip.frame_indices.tolist() != list(plan.frame_indices[: plan.num_real]):
            raise ValueError(
                f'predict_clip was asked for frames {list(plan.frame_indices)} and answered for '
                f'{clip.frame_indices.tolist()}'
            )
        clip.num_ignored = plan.num_ignored
        return self.tracker.update(clip, plan.next_start)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError('the stream is closed; make a new VideoStream for another video')
