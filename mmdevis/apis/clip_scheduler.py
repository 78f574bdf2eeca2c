"""Which clips cover a video, also while its end is not known."""

from __future__ import annotations

from dataclasses import dataclass


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
        num_frames (int): Frames per clip T.
        stride (int): Frames between the starts of clips S, 1..T-1: clips must overlap. Clips of
            one frame cannot; they have a stride of 1.

    Raises:
        ValueError: If clips of more than one frame do not overlap.
    """

    def __init__(self, num_frames: int, stride: int) -> None:
        if num_frames < 1:
            raise ValueError(f'num_frames must be at least 1, got {num_frames}')
        largest = max(num_frames - 1, 1)
        if not 1 <= stride <= largest:
            raise ValueError(
                f'stride must be in 1..{largest} for clips of {num_frames} frames, got '
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
