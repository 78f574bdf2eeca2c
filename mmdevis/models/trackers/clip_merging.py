"""Joining a matched clip to the track memory, frame by frame the higher score."""

from __future__ import annotations

import torch
from torch import Tensor

from .observations import Observations


class MergedWindow:
    """Track memory and a new clip on one grid of tracks and frames.

    In frames that both know, the prediction with the higher score is kept (the older one when
    equal). Masks are not copied until they are asked for: ``codes`` says where each one lies.

    Args:
        window (Observations): N tracks.
        clip (Observations): K instances.
        positions (Tensor): (K,) long, row of each instance in the result: a track's row, or a new
            one from N on, no row twice.
        num_tracks (int): Rows of the result, N' >= N.
    """

    def __init__(
        self, window: Observations, clip: Observations, positions: Tensor, num_tracks: int
    ) -> None:
        self.frames = sorted({*window.frames, *clip.frames})
        self._sources = (window, clip)
        self._offset = window.masks.shape[1]
        shape = (num_tracks, len(self.frames))
        old, new = torch.arange(len(window)), positions
        old_columns, new_columns = (
            torch.tensor([self.frames.index(frame) for frame in x.frames], dtype=torch.long)
            for x in self._sources
        )
        # Column of each frame in either source, -1 where the source does not have it.
        self._columns = torch.full((2, len(self.frames)), -1)
        self._columns[0, old_columns] = torch.arange(len(old_columns))
        self._columns[1, new_columns] = torch.arange(len(new_columns))

        def spread(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
            grids = []
            for value, rows, columns in ((before, old, old_columns), (after, new, new_columns)):
                grid = value.new_zeros(*shape, *value.shape[2:])
                grid[rows[:, None], columns] = value
                grids.append(grid)
            return grids[0], grids[1]

        had, has = spread(window.valid, clip.valid)
        old_scores, new_scores = spread(window.scores, clip.scores)
        wins = has & (~had | (new_scores > old_scores))
        self.valid = had | has
        self.scores = torch.where(wins, new_scores, old_scores)
        self.labels = torch.where(wins, *reversed(spread(window.labels, clip.labels)))
        self.centers = torch.where(wins[..., None], *reversed(spread(window.centers, clip.centers)))
        self.codes = torch.where(
            wins, *reversed(spread(window.rows, clip.rows + self._offset))
        )  # (N', F') long

    def masks(self, columns: Tensor, codes: Tensor) -> Tensor:
        """Copy masks out.

        Args:
            columns (Tensor): (M,) long, frame positions.
            codes (Tensor): (M,) long, entries of ``codes`` at those frames.

        Returns:
            Tensor: (M, H, W) probabilities.
        """
        window, clip = self._sources
        device = clip.masks.device
        result = clip.masks.new_empty(len(codes), *clip.masks.shape[2:])
        newer = codes >= self._offset
        for part, source, start, chosen in (
            (0, window, 0, ~newer),
            (1, clip, self._offset, newer),
        ):
            if chosen.any():
                at = (self._columns[part, columns[chosen]], codes[chosen] - start)
                result[chosen.to(device)] = source.masks[at[0].to(device), at[1].to(device)]
        return result

    def keep(self, first_column: int) -> tuple[Observations, Tensor]:
        """The memory for the next clip: frames from ``first_column`` on, tracks seen in them.

        Args:
            first_column (int): Position of the first frame to keep.

        Returns:
            tuple[Observations, Tensor]: The memory with its own copy of the masks it needs, each
            distinct one once, and the (M,) long rows of the tracks in it.
        """
        frames = self.frames[first_column:]
        tracks = self.valid[:, first_column:].any(1).nonzero()[:, 0]
        grid = (tracks, slice(first_column, None))
        valid, codes = self.valid[grid], self.codes[grid]
        num_codes = self._offset + self._sources[1].masks.shape[1]
        used = torch.zeros(len(frames), num_codes, dtype=torch.bool)
        track, frame = valid.nonzero(as_tuple=True)
        used[frame, codes[track, frame]] = True
        new_rows = used.cumsum(1) - 1  # (F, codes), meaningful where used
        frame, code = used.nonzero(as_tuple=True)
        height_width = self._sources[1].masks.shape[2:]
        num_rows = int(used.sum(1).max()) if len(frames) else 0
        # Zeros, because frames with fewer masks leave rows unused, which are multiplied too.
        masks = self._sources[1].masks.new_zeros(len(frames), num_rows, *height_width)
        device = masks.device
        masks[frame.to(device), new_rows[frame, code].to(device)] = self.masks(
            frame + first_column, code
        )
        rows = new_rows[torch.arange(len(frames)), codes].masked_fill(~valid, 0)
        kept = Observations(
            frames=frames,
            valid=valid,
            scores=self.scores[grid],
            labels=self.labels[grid],
            centers=self.centers[grid],
            rows=rows,
            masks=masks,
        )
        return kept, tracks
