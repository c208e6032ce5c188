"""Evaluate a checkpoint and write report.json, report.md and report.html into the work dir.

python tools/test.py configs/maskrcnn_fastvit_sa24.py work_dirs/maskrcnn_fastvit_sa24/epoch_12.pth
python tools/test.py configs/maskrcnn_fastvit_sa24.py CHECKPOINT --fuse --verify
python tools/test.py configs/maskrcnn_fastvit_sa24.py sa24_int8.onnx --baseline REPORT.JSON
"""

import os
from collections.abc import Sequence

from _cli import add_config_arguments, add_launcher_arguments, make_parser, run


def main(argv: Sequence[str] | None) -> int:
    parser = make_parser(__doc__)
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint, or a file of tools/export.py')
    parser.add_argument('--work-dir', help='where the report goes (work_dirs/CONFIG)')
    parser.add_argument('--fuse', action='store_true', help='reparameterize the model first')
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
    add_launcher_arguments(parser)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    from fastvit_dense.engine.testing import evaluate_checkpoint

    return evaluate_checkpoint(
        args.config,
        args.checkpoint,
        sample=args.sample,
        cfg_options=args.cfg_options,
        work_dir=args.work_dir,
        fuse=args.fuse,
        verify=args.verify,
        save_predictions=args.save_predictions,
        baseline=args.baseline,
        launcher=args.launcher,
    )


if __name__ == '__main__':
    run(main)
