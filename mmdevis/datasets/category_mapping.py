"""Mapping categories of one data set to those of another, by name."""

from collections.abc import Iterable, Mapping

# COCO's word -> words of the video data sets. Names that only differ in case, spaces, hyphens or
# underscores need no entry. OVIS calls everything on four or more wheels a vehicle.
SYNONYMS: dict[str, tuple[str, ...]] = {
    'bus': ('vehicle',),
    'car': ('car', 'sedan', 'vehicle'),
    'frisbee': ('flying_disc',),
    'motorcycle': ('motorcycle', 'motorbike'),
    'truck': ('truck', 'vehicle'),
}

# Same word, another thing: COCO's mouse belongs to a computer, the video data sets' is an animal.
FALSE_FRIENDS = frozenset({'mouse'})


def normalise(name: str) -> str:
    """Bring a category name into the form that is compared: `Giant panda` -> `giant_panda`."""
    return name.strip().lower().replace(' ', '_').replace('-', '_')


def map_by_name(
    sources: Iterable[str],
    targets: Iterable[str],
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Find for each COCO category the target category of the same meaning.

    Args:
        sources (Iterable[str]): Category names of COCO, or a part of them.
        targets (Iterable[str]): Category names, for example of YouTube-VIS 2019.
        extra (Mapping[str, str], optional): Further pairs, source -> target; they come first.

    Returns:
        dict[str, str]: Source name -> target name; sources without a partner are left out.

    Raises:
        ValueError: If `extra` names a category that does not exist.
    """
    sources, targets = list(sources), {normalise(name): name for name in targets}
    extra = {normalise(key): normalise(value) for key, value in (extra or {}).items()}
    known = {normalise(name) for name in sources}
    for key, value in extra.items():
        if key not in known or value not in targets:
            wrong = key if key not in known else value
            raise ValueError(f'category_map: there is no category {wrong!r}.')
    mapping = {}
    for name in sources:
        word = normalise(name)
        if word in extra:
            candidates = [extra[word]]
        elif word in FALSE_FRIENDS:
            candidates = []
        else:
            candidates = [word, *SYNONYMS.get(word, ())]
        found = next((targets[c] for c in candidates if c in targets), None)
        if found is not None:
            mapping[name] = found
    return mapping
