"""Evaluate a checkpoint and write report.json, report.md and report.html into the work dir.

fastvit-dense test maskrcnn_fastvit_sa24 work_dirs/maskrcnn_fastvit_sa24/epoch_12.pth
fastvit-dense test work_dirs/maskrcnn_fastvit_sa24/epoch_12.pth --data FOLDER
fastvit-dense test maskrcnn_fastvit_sa24 CHECKPOINT --fuse --verify
fastvit-dense test maskrcnn_fastvit_sa24 sa24_int8.onnx --baseline REPORT.JSON
fastvit-dense test maskrcnn_fastvit_sa24 CHECKPOINT --corruptions noise,fog
"""

import argparse
import os

from .common import (
    Arguments,
    add_checkpoint,
    add_config,
    add_data,
    add_fuse,
    add_launcher,
    add_tiles,
)


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> int:
    """Read the arguments and evaluate a checkpoint; return the exit status."""
    add_config(parser)
    add_data(parser)
    add_checkpoint(parser)
    parser.add_argument('--work-dir', help='where the report goes (work_dirs/CONFIG)')
    add_fuse(parser)
    parser.add_argument('--tta', action='store_true', help='predict in several sizes, and mirrored')
    parser.add_argument(
        '--verify',
        action='store_true',
        help="compare with the config's expected_results; exit status 1 where one is missed",
    )
    parser.add_argument(
        '--save-predictions', metavar='D', help='also write the predictions, in the official format'
    )
    parser.add_argument(
        '--baseline',
        metavar='REPORT.JSON',
        help='earlier report on the same data; the new one tells by how much each metric changed',
    )
    parser.add_argument(
        '--corruptions',
        metavar='all|NAME,NAME',
        help='also score under corruptions at five strengths: all 15, noise, blur, weather, '
        'digital, or their names; what an earlier run in the work dir scored is not scored again',
    )
    add_tiles(parser)
    add_launcher(parser)
    args = parser.parse_args(arguments)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    from ..engine.testing import evaluate_checkpoint

    return evaluate_checkpoint(
        args.config,
        args.checkpoint,
        sample=args.sample,
        data=args.data,
        cfg_options=args.cfg_options,
        work_dir=args.work_dir,
        fuse=args.fuse,
        tta=args.tta,
        verify=args.verify,
        save_predictions=args.save_predictions,
        baseline=args.baseline,
        corruptions=args.corruptions,
        launcher=args.launcher,
        tiles=args.tiles,
        overlap=args.overlap,
    )
