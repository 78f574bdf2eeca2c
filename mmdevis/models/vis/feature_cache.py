"""Backbone maps of frames that the clips of a stream share."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class FeatureCache:
    """Lets every frame of a stream go through the backbone once.

    Near-online clips of T frames, one every S frames, share T - S frames (paper Sec. 3.3). The
    backbone looks at frames one by one, so what it said about them holds in the next clip too;
    only the frames that the next clip is expected to need are kept.

    Args:
        stride: S, frames from the start of a clip to the start of the next one.
    """

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self._maps: dict[int, list[Tensor]] = {}

    def run(
        self,
        backbone: Callable[[Tensor], Sequence[Tensor]],
        inputs: Tensor,
        frame_indices: Sequence[Sequence[int]],
    ) -> list[Tensor]:
        """Maps of clips, computed where they are not known.

        Args:
            backbone: Gives maps (N, C, h, w), fine to coarse, of (N, 3, H, W) frames.
            inputs: (B * T, 3, H, W) frames of B clips.
            frame_indices: B times T frame numbers in the video; frames of one number are the same.

        Returns:
            L maps (B * T, C, h, w), as ``backbone(inputs)``.
        """
        wanted = [int(index) for clip in frame_indices for index in clip]
        # A dict keeps the order and one place of each.
        places = {index: at for at, index in enumerate(wanted) if index not in self._maps}
        if len(places) == len(wanted):
            levels = list(backbone(inputs))
            maps = {index: [level[at] for level in levels] for index, at in places.items()}
        else:
            maps = dict(self._maps)
            if places:
                new = backbone(inputs[list(places.values())])
                maps.update((index, list(parts)) for index, parts in zip(places, zip(*new)))
            levels = [torch.stack(level) for level in zip(*(maps[index] for index in wanted))]
        first = int(frame_indices[-1][0]) + self.stride
        # Copies: a part of a batch would keep the whole batch.
        self._maps = {
            index: self._maps.get(index) or [part.clone() for part in maps[index]]
            for index in dict.fromkeys(wanted)
            if index >= first
        }
        return levels
