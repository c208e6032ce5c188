"""Train a model.

python tools/train.py configs/maskrcnn_fastvit_sa24.py
python tools/train.py configs/maskrcnn_fastvit_sa24.py --sample          # nothing to download
torchrun --nproc_per_node 8 tools/train.py configs/maskrcnn_fastvit_sa24.py --launcher pytorch
"""

import os
from collections.abc import Sequence

from _cli import add_config_arguments, add_launcher_arguments, make_parser, run


def main(argv: Sequence[str] | None) -> None:
    parser = make_parser(__doc__)
    add_config_arguments(parser)
    parser.add_argument('--work-dir', help='where logs and checkpoints go (work_dirs/CONFIG)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from the latest checkpoint of the work dir, or from the given one',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (GPU)')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help="scale the learning rate to this run's batch"
    )
    add_launcher_arguments(parser)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    from fastvit_dense.engine.training import train

    train(
        args.config,
        sample=args.sample,
        cfg_options=args.cfg_options,
        work_dir=args.work_dir,
        resume=args.resume,
        amp=args.amp,
        auto_scale_lr=args.auto_scale_lr,
        launcher=args.launcher,
    )


if __name__ == '__main__':
    run(main)
