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

    def mask(self, column: int, code: int) -> Tensor:
        """Look up a mask.

        Args:
            column (int): Position of the frame.
            code (int): An entry of ``codes`` at this frame.

        Returns:
            Tensor: (H, W) probabilities, a view.
        """
        newer = code >= self._offset
        source = self._sources[newer].masks[int(self._columns[int(newer), column])]
        return source[code - self._offset if newer else code]

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
        counts = used.sum(1).tolist()
        image = self._sources[1].masks
        masks = image.new_empty(len(frames), max(counts, default=0), *image.shape[2:])
        # One copy per mask: indexing with tensors is many times slower on the CPU.
        for column, code in used.nonzero().tolist():
            masks[column, int(new_rows[column, code])] = self.mask(column + first_column, code)
        # Rows that a frame leaves unused are multiplied too, so they must be numbers.
        for column, count in enumerate(counts):
            masks[column, count:] = 0
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
