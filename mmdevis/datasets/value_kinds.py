"""First look at an annotation file: is every value of the kind that the further checks build on?

Files of other tools hold texts for numbers, single values for lists, or lists of anything but
objects; without this look they would end in a TypeError somewhere else.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .converters.ytvis import OCCLUSION_KEYS


@dataclass(frozen=True)
class Kind:
    """What a value of a key may be.

    Attributes:
        fits (Callable): Tells whether a value (never None) is of this kind.
        words (str): The kind, for messages.
        required (bool): Whether the key must be there. What else must be there, the further checks
            say, with more words.
    """

    fits: Callable[[Any], bool]
    words: str
    required: bool = False


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and value == value  # json may hold NaN


NUMBER = Kind(_is_number, 'a number')
ID = Kind(lambda value: _is_number(value) or isinstance(value, str), 'a number or a text')
FLAG = Kind(lambda value: _is_number(value) and value in (0, 1), '0 or 1')
TEXTS = Kind(
    lambda value: isinstance(value, list) and all(isinstance(text, str) for text in value),
    'a list of texts',
)
NAME = Kind(lambda value: isinstance(value, str), 'a text', required=True)

_TRACK = {'id': ID, 'category_id': ID, 'video_id': ID, 'iscrowd': FLAG}
_CATEGORY = {'id': ID, 'name': NAME}
# By part of the file and key; other keys do not matter.
YTVIS = {
    'videos': {'id': ID, 'length': NUMBER, 'file_names': TEXTS},
    'categories': _CATEGORY,
    'annotations': _TRACK,
}
PER_FRAME = {
    'videos': {'id': ID, 'name': Kind(NAME.fits, NAME.words)},
    'categories': _CATEGORY,
    'images': {'id': ID, 'video_id': ID, 'frame_id': NUMBER, 'file_name': NAME},
    'annotations': {**_TRACK, 'image_id': ID, 'instance_id': ID},
}


def wrong_kinds(
    data: Mapping[str, Any], parts: Mapping[str, Mapping[str, Kind]]
) -> Iterator[tuple[str, str, str]]:
    """Find values of another kind than the rest of the checks can deal with.

    Args:
        data (Mapping): The parsed json.
        parts (Mapping): `YTVIS` or `PER_FRAME`.

    Yields:
        tuple[str, str, str]: Place (for example `annotations[3]`; empty for the file itself), key,
        and what is wrong.
    """
    for part, keys in parts.items():
        entries = data.get(part)
        if entries is None:
            continue
        if not isinstance(entries, list):
            yield '', part, f'is {_shown(entries)}; expected a list of objects.'
            continue
        for index, entry in enumerate(entries):
            place = f'{part}[{index}]'
            if not isinstance(entry, Mapping):
                yield '', place, f'is {_shown(entry)}; expected an object.'
                continue
            for key, kind in keys.items():
                value = entry.get(key)
                if value is None:
                    if kind.required:
                        yield place, key, f'is missing; expected {kind.words}.'
                elif not kind.fits(value):
                    yield place, key, f'is {_shown(value)}; expected {kind.words}.'


def occlusion_problem(track: Mapping[str, Any], length: int) -> tuple[str, str] | None:
    """What is wrong with the occlusion of a YouTube-VIS track: key and message, or None.

    Args:
        track (Mapping): Entry of `annotations`.
        length (int): Frames of its video.
    """
    for key in OCCLUSION_KEYS:
        values = track.get(key)
        if isinstance(values, list) and len(values) != length:
            return key, f'has {len(values)} entries; expected {length}, one per frame.'
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:60]}...'
