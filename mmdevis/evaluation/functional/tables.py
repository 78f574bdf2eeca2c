"""Tables of metrics for logs and terminals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_CLASS_SUFFIX = '_precision'
_ROWS = (
    ('AP', 'IoU .50:.95'),
    ('AP50', 'IoU .50'),
    ('AP75', 'IoU .75'),
    ('AP_s', 'small objects (mean area < 128 x 128)'),
    ('AP_m', 'medium objects'),
    ('AP_l', 'large objects (mean area > 256 x 256)'),
    ('AR1', '1 prediction per video'),
    ('AR10', '10 predictions per video'),
    ('AR100', '100 predictions per video'),
    ('AP_slight', 'slightly occluded objects'),
    ('AP_moderate', 'moderately occluded objects'),
    ('AP_heavy', 'heavily occluded objects'),
    ('HOTA', 'higher order tracking accuracy'),
    ('DetA', 'detection accuracy of HOTA'),
    ('AssA', 'association accuracy of HOTA'),
    ('MOTA', 'CLEAR multi-object tracking accuracy'),
    ('IDF1', 'identity F1'),
    ('IDSW', 'identity switches (count)'),
)


def _value(name: str, value: float) -> str:
    if name == 'IDSW':
        return f'{value:.0f}'
    return '-' if value == -1 else f'{value:.3f}'


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligns columns of text, the first to the left and the others to the right.

    Args:
        header: Titles of C columns.
        rows: Rows of C cells.

    Returns:
        The lines of the table, without a final line break.
    """
    widths = [max(len(row[c]) for row in [header, *rows]) for c in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths))
        )
        return '  '.join([first, *rest]).rstrip()

    return '\n'.join([line(header), '  '.join('-' * width for width in widths), *map(line, rows)])


def summary_table(metrics: Mapping[str, float]) -> str:
    """Table of the metrics that `evaluate_ytvis` and `evaluate_tracking` return.

    Args:
        metrics: Names without prefix; `-1`, no object in the ground truth, is shown as `-`.

    Returns:
        The lines of the table.
    """
    rows = [(n, _value(n, metrics[n]), meaning) for n, meaning in _ROWS if n in metrics]
    return text_table(('metric', 'value'), [(f'{n:<12}{m}', v) for n, v, m in rows])


def class_table(metrics: Mapping[str, float]) -> str:
    """Table of AP per class.

    Args:
        metrics: What `evaluate_ytvis(..., classwise=True)` returned.

    Returns:
        The lines of the table; a class without any object in the ground truth shows `-`.
    """
    return text_table(
        ('class', 'AP'),
        [
            (name[: -len(_CLASS_SUFFIX)], _value(name, value))
            for name, value in metrics.items()
            if name.endswith(_CLASS_SUFFIX)
        ],
    )
