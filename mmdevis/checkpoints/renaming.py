"""Two-way renaming of state-dict keys by templates."""

import re
from collections.abc import Sequence


class RenameTable:
    """Pairs of key templates that are read in both directions.

    A template is a key with placeholders: ``{i}``, ``{j}``, ``{k}`` stand for a number, ``{p}`` for
    the rest of the key. The first pair that fits wins.

    Args:
        pairs: (left, right) templates with the same placeholders on both sides.

    Raises:
        ValueError: If a pair has different placeholders.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        for left, right in pairs:
            if set(re.findall(r'{(\w)}', left)) != set(re.findall(r'{(\w)}', right)):
                raise ValueError(f'templates have different placeholders: {left!r}, {right!r}')
        self._to_right = [(_pattern(left), right) for left, right in pairs]
        self._to_left = [(_pattern(right), left) for left, right in pairs]

    def right(self, key: str) -> str | None:
        """Key on the right side, None if no template fits."""
        return _rename(key, self._to_right)

    def left(self, key: str) -> str | None:
        """Key on the left side, None if no template fits."""
        return _rename(key, self._to_left)


def _pattern(template: str) -> re.Pattern:
    pattern = re.escape(template)
    pattern = re.sub(r'\\{([ijk])\\}', r'(?P<\1>\\d+)', pattern)
    pattern = re.sub(r'\\{(p)\\}', r'(?P<\1>.+)', pattern)
    return re.compile(pattern)


def _rename(key: str, rules: Sequence[tuple[re.Pattern, str]]) -> str | None:
    for pattern, template in rules:
        found = pattern.fullmatch(key)
        if found:
            return template.format(**found.groupdict())
    return None
