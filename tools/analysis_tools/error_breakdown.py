"""Splits what results of video instance segmentation lose of AP into kinds of errors.

python tools/analysis_tools/error_breakdown.py RESULTS GROUND_TRUTH [--json FILE]

RESULTS is a list of tracks in YouTube-VIS format (`.json`, or the `.zip` made for the server),
GROUND_TRUTH a YouTube-VIS annotation file. docs/evaluation.md says what the numbers mean.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mmdevis.evaluation.functional import break_down_errors, breakdown_table
from mmdevis.utils.files import read_json, write_text


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line.

    Args:
        argv: Arguments; default those of the process.

    Returns:
        The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', type=Path, help='results (.json or .zip)')
    parser.add_argument('ground_truth', type=Path, help='annotations in YouTube-VIS format (.json)')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='tracks below this score are not counted (default %(default)s); AP takes all',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the numbers to FILE')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Splits and prints.

    Args:
        argv: Arguments; default those of the process.

    Returns:
        Exit status: 0, or 2 when a file is missing or not in the format.
    """
    args = parse_args(argv)
    try:
        results, gt = read_json(args.results), read_json(args.ground_truth)
        breakdown = break_down_errors(gt, results, score_thr=args.score_thr)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(breakdown_table(breakdown))
    if args.json is not None:
        write_text(args.json, json.dumps(breakdown, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
