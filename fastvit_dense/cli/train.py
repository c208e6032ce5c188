"""Train a model.

fastvit-dense train maskrcnn_fastvit_sa24
fastvit-dense train maskrcnn_fastvit_sa24 --sample          # nothing to download
fastvit-dense train maskrcnn_fastvit_sa12 --data FOLDER     # your own pictures
fastvit-dense train finetune/maskrcnn_fastvit_sa12 --data FOLDER --early-stop --log tensorboard
torchrun --nproc_per_node 8 -m fastvit_dense train maskrcnn_fastvit_sa24 --launcher pytorch
"""

import argparse
import os

from .common import Arguments, add_config, add_data, add_launcher


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    """Read the arguments and train."""
    add_config(parser)
    add_data(parser)
    parser.add_argument('--work-dir', help='where logs and checkpoints go (work_dirs/CONFIG)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from the newest whole checkpoint of the work dir, or from the given one',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='delete the checkpoints of an earlier training in the work dir and start over',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (GPU)')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help="scale the learning rate to this run's batch"
    )
    parser.add_argument(
        '--ema', action='store_true', help='average the weights; checkpoints hold the average'
    )
    parser.add_argument(
        '--early-stop',
        nargs='?',
        type=int,
        const=10,
        metavar='N',
        help='stop after N validations without a better score (10)',
    )
    parser.add_argument(
        '--log',
        nargs='+',
        choices=('tensorboard', 'wandb', 'mlflow'),
        default=(),
        help='send losses and scores there, too',
    )
    parser.add_argument(
        '--accumulate',
        nargs='?',
        const='stated',
        choices=('stated', 'auto'),
        help="gather the gradients of the batch that the config's learning rate is for (stated); "
        'auto: run a batch in parts where memory does not hold it',
    )
    parser.add_argument(
        '--balance', action='store_true', help='show pictures of rare classes more often'
    )
    add_launcher(parser)
    args = parser.parse_args(arguments)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    from ..engine.training import train

    train(
        args.config,
        sample=args.sample,
        data=args.data,
        cfg_options=args.cfg_options,
        work_dir=args.work_dir,
        resume=args.resume,
        amp=args.amp,
        auto_scale_lr=args.auto_scale_lr,
        launcher=args.launcher,
        overwrite=args.overwrite,
        ema=args.ema,
        early_stop=args.early_stop,
        log=args.log,
        accumulate=args.accumulate,
        balance=args.balance,
    )
