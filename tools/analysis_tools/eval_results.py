"""Scores a results file of video instance segmentation without a model or a data set.

python tools/analysis_tools/eval_results.py RESULTS GROUND_TRUTH [--classwise] [--json FILE]

RESULTS is a list of tracks in YouTube-VIS format (`.json`, or the `.zip` made for the server),
GROUND_TRUTH a YouTube-VIS or OVIS annotation file (`.json`).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mmdevis.evaluation.functional import (
    class_table,
    evaluate_tracking,
    evaluate_ytvis,
    summary_table,
)
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
    parser.add_argument('--classwise', action='store_true', help='also show AP per class')
    parser.add_argument(
        '--iou-thrs',
        type=float,
        nargs='+',
        metavar='T',
        help='IoU thresholds to average over (default .50 .55 ... .95)',
    )
    parser.add_argument(
        '--tracking',
        action='store_true',
        help='also HOTA, CLEAR and identity metrics (needs the package trackeval)',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='tracks below this score are left out of --tracking (default %(default)s)',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the metrics to FILE')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Scores and prints.

    Args:
        argv: Arguments; default those of the process.

    Returns:
        Exit status: 0, or 2 when a file is missing or not in the format.
    """
    args = parse_args(argv)
    try:
        results, gt = read_json(args.results), read_json(args.ground_truth)
        metrics = evaluate_ytvis(gt, results, args.iou_thrs, classwise=args.classwise)
        if args.tracking:
            metrics.update(evaluate_tracking(gt, results, score_thr=args.score_thr))
    except (ValueError, OSError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(
        f'{len(results)} predicted and {len(gt["annotations"])} true tracks in '
        f'{len(gt["videos"])} videos\n\n{summary_table(metrics)}'
    )
    if args.classwise:
        print(f'\n{class_table(metrics)}')
    if args.json is not None:
        write_text(args.json, json.dumps(metrics, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
