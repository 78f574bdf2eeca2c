"""Backbone maps of frames that the clips of a stream share."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class FeatureCache:
    """Lets every frame of a stream go through the backbone once.

    Near-online clips of T frames, one every S frames, share T - S frames (paper Sec. 3.5). The
    backbone looks at frames one by one, so what it said about them holds in the next clip too.
    Held are the frames that the next clip is expected to share, at most T - S, and their maps.

    Args:
        stride: S, frames from the start of a clip to the start of the next one.
    """

    def __init__(self, stride: int) -> None:
        self.stride = stride
        # By identity: a frame that takes the place of one that failed is another one. The frame
        # itself is held so that nothing else can get its identity.
        self._known: dict[int, tuple[object, list[Tensor]]] = {}

    def run(
        self,
        backbone: Callable[[Tensor], Sequence[Tensor]],
        inputs: Tensor,
        clips: Sequence[Sequence[object]],
    ) -> list[Tensor]:
        """Maps of clips, computed where they are not known.

        Args:
            backbone: Gives maps (N, C, h, w), fine to coarse, of (N, 3, H, W) frames.
            inputs: (B * T, 3, H, W) frames of B clips.
            clips: The same frames as they came into the stream, B times T; which ones are the same
                is told by identity.

        Returns:
            L maps (B * T, C, h, w), as ``backbone(inputs)``.
        """
        wanted = [frame for clip in clips for frame in clip]
        # A dict keeps the order and one place of each.
        places = {id(f): at for at, f in enumerate(wanted) if id(f) not in self._known}
        if len(places) == len(wanted):
            levels = list(backbone(inputs))
            maps = {name: [level[at] for level in levels] for name, at in places.items()}
        else:
            maps = {name: known for name, (_, known) in self._known.items()}
            if places:
                new = backbone(inputs[list(places.values())])
                maps.update((name, list(parts)) for name, parts in zip(places, zip(*new)))
            levels = [torch.stack(level) for level in zip(*(maps[id(f)] for f in wanted))]
        self._known = {
            # Copies of new maps: a part of a batch would keep the whole batch.
            id(f): self._known.get(id(f)) or (f, [part.clone() for part in maps[id(f)]])
            for f in clips[-1][self.stride :]
        }
        return levels
