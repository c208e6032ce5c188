"""Measure speed and memory, each thing beside what people use instead, in one run.

python tools/benchmark.py backbone sa24 peers --sizes 512 --out backbone.json
python tools/benchmark.py repmixer --sizes 384 1024 --out repmixer.json
python tools/benchmark.py model configs/maskrcnn_fastvit_sa24.py --out model.json
python tools/benchmark.py overparam --out overparam.json
python tools/benchmark.py zoo --out docs/results/model_zoo.json
python tools/benchmark.py sampler --out docs/results/sampler.json
python tools/benchmark.py evaluation --out evaluation.json
python tools/benchmark.py soak --minutes 20 --out soak.json
python tools/benchmark.py scaling --out scaling.json
python tools/benchmark.py curves T8=work_dirs/t8 R18=work_dirs/r18 --score mIoU --out curves.json
python tools/benchmark.py gpu --minutes 8 --data camvid --out gpu
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from _cli import make_parser, run

BACKENDS = ('eager', 'compiled', 'cudagraph', 'onnxruntime', 'openvino')
SMALL_CONFIGS = [f'{head}_fastvit_t8' for head in ('maskrcnn', 'semfpn', 'handmesh')]
SHORT = [
    'train_cfg.max_epochs=1',
    'train_dataloader.dataset.indices=8',
    'val_dataloader.dataset.indices=4',
    'test_dataloader.dataset.indices=4',
]
CONFIGS = [f'configs/{head}_fastvit_sa24.py' for head in ('maskrcnn', 'semfpn', 'handmesh')]


def backbone(args: argparse.Namespace) -> None:
    from benchmarks.backbones import benchmark_backbones
    from benchmarks.figures import backbone_figure
    from benchmarks.tables import backbone_table

    results = benchmark_backbones(
        args.models,
        schedule(args),
        forms=args.forms,
        backends=args.backends,
        precisions=args.precisions,
        layouts=args.layouts,
        reference=args.reference,
    )
    show(args.out, results, backbone_table(results), backbone_figure(results))


def repmixer(args: argparse.Namespace) -> None:
    from benchmarks.backbones import benchmark_repmixer
    from benchmarks.figures import repmixer_figure
    from benchmarks.tables import repmixer_table

    results = benchmark_repmixer(
        schedule(args), backends=args.backends, precisions=args.precisions, layouts=args.layouts
    )
    show(args.out, results, repmixer_table(results), repmixer_figure(results))


def model(args: argparse.Namespace) -> None:
    from benchmarks.figures import model_figure
    from benchmarks.models import benchmark_models
    from benchmarks.tables import model_table

    results = benchmark_models(
        args.configs,
        args.checkpoints,
        args.exported,
        image=args.image,
        forms=args.forms,
        precisions=args.precisions,
        schedule=schedule(args),
        sample=args.sample,
        cfg_options=args.cfg_options,
    )
    show(args.out, results, model_table(results), model_figure(results))


def overparam(args: argparse.Namespace) -> None:
    from benchmarks.overparam import benchmark_overparam, overparam_table

    archs, seeds, options = args.archs, args.seeds, args.cfg_options
    if args.quick:
        vars(args).update(sizes=[32], batch_sizes=[2], rounds=1, seconds=0.1)
        archs, seeds, options = ['t8'], seeds[:1], [*SHORT, *options]
    results = benchmark_overparam(
        archs, schedule(args), seeds=seeds, config=args.config, cfg_options=options
    )
    show(args.out, results, overparam_table(results), None)


def evaluation(args: argparse.Namespace) -> None:
    from benchmarks.evaluation import QUICK, Sizes, benchmark_evaluation, table
    from benchmarks.output import write_benchmark

    results = benchmark_evaluation(QUICK if args.quick else Sizes())
    write_benchmark(args.out, results)
    print(table(results))


def scaling(args: argparse.Namespace) -> None:
    from benchmarks.scaling import benchmark_scaling, scaling_table

    results = benchmark_scaling(args.configs)
    show(args.out, results, scaling_table(results), None)


def zoo(args: argparse.Namespace) -> None:
    from benchmarks.machine import set_threads
    from benchmarks.networks import Schedule
    from benchmarks.zoo import benchmark_zoo, zoo_table

    set_threads(args.threads)
    quick = dict(sizes=(64,), rounds=1, seconds=0.1) if args.quick else {}
    chosen = Schedule(**{'rounds': args.rounds, 'seconds': args.seconds, 'longest': 15.0, **quick})
    results = benchmark_zoo(args.out, chosen, quick=args.quick)
    show(args.out, results, zoo_table(results), None)


def sampler(args: argparse.Namespace) -> None:
    from benchmarks.machine import set_threads
    from benchmarks.sampler import QUICK, Work, benchmark_sampler, sampler_table

    set_threads(args.threads)
    results = benchmark_sampler(QUICK if args.quick else Work())
    show(args.out, results, sampler_table(results), None)


def soak(args: argparse.Namespace) -> None:
    from benchmarks.soak import soak, soak_table

    results = soak(args.configs, 60 * args.minutes, cfg_options=args.cfg_options)
    show(args.out, results, soak_table(results), None)


def curves(args: argparse.Namespace) -> None:
    from benchmarks.curves import curve_figure, curve_table, read_curves

    results = read_curves(args.trainings, args.score)
    show(args.out, results, curve_table(results), curve_figure(results))


def gpu(args: argparse.Namespace) -> None:
    from benchmarks.gpu.job import run_parts

    run_parts(args.minutes, args.out, args.parts, args.device, args.quick, args.data)


def show(out: Path, results: dict, text: str, figure: object) -> None:
    from benchmarks.output import write_benchmark

    print(text)
    write_benchmark(out, results, text, figure)


def schedule(args: argparse.Namespace) -> object:
    """The schedule, and the threads that it is measured with."""
    import torch

    from benchmarks.machine import set_threads
    from benchmarks.networks import Schedule

    set_threads(args.threads)
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    sizes = {key: getattr(args, key) for key in ('sizes', 'batch_sizes') if hasattr(args, key)}
    return Schedule(device=device, rounds=args.rounds, seconds=args.seconds, **sizes)


def add_part(
    parts: argparse._SubParsersAction, name: str, text: str, seconds: float, rounds: int = 20
) -> argparse.ArgumentParser:
    """Add a part that measures latencies, with the options that all such have."""
    part = parts.add_parser(name, help=text, description=text)
    part.set_defaults(run=globals()[name])
    part.add_argument(
        '--out',
        type=Path,
        required=True,
        metavar='FILE.json',
        help='results; the table (.md) and the picture (.png) are written beside it',
    )
    part.add_argument(
        '--rounds', type=int, default=rounds, help='at most, of each group (default: %(default)s)'
    )
    part.add_argument(
        '--seconds',
        type=float,
        default=seconds,
        help='of timing, after which no round of a group starts (default: %(default)s)',
    )
    part.add_argument('--threads', type=int, help='default: the cores of this process')
    part.add_argument('--device', choices=['cpu', 'cuda'], help='default: cuda if there is one')
    return part


def add_sizes(part: argparse.ArgumentParser, sizes: list[int], batch_size: int = 1) -> None:
    """Add the sizes and batch sizes of the images."""
    part.add_argument(
        '--sizes',
        type=int,
        nargs='+',
        default=sizes,
        help='sides of the square images (default: %(default)s)',
    )
    part.add_argument(
        '--batch-sizes', type=int, nargs='+', default=[batch_size], help='(default: %(default)s)'
    )


def add_ways(part: argparse.ArgumentParser, sizes: list[int]) -> None:
    """Add what is varied."""
    add_sizes(part, sizes)
    part.add_argument(
        '--backends',
        nargs='+',
        choices=BACKENDS,
        metavar='BACKEND',
        help=f'of {", ".join(BACKENDS)} (default: eager openvino; on a GPU eager cudagraph '
        'compiled)',
    )
    part.add_argument(
        '--precisions',
        nargs='+',
        choices=['fp32', 'bf16', 'fp16'],
        default=['fp32'],
        help='(default: fp32)',
    )
    part.add_argument(
        '--layouts',
        nargs='+',
        choices=['contiguous', 'channels_last'],
        default=['contiguous'],
        help="of PyTorch's tensors (default: contiguous)",
    )


def main(argv: Sequence[str] | None) -> None:
    parser = make_parser(__doc__)
    parts = parser.add_subparsers(dest='part', required=True, metavar='PART')

    part = add_part(parts, 'backbone', 'latency of backbones, ours and those of timm', 60)
    part.add_argument(
        'models',
        nargs='*',
        metavar='MODEL',
        default=['t8', 'sa12', 'sa24', 'fastvit_sa24', 'peers'],
        help="variants (sa24), names of timm (resnet50, fastvit_sa24), or 'ours', 'peers', 'light' "
        '(default: t8 sa12 sa24 fastvit_sa24 peers)',
    )
    add_ways(part, [512])
    part.add_argument(
        '--forms',
        nargs='+',
        choices=['train', 'folded'],
        default=['train', 'folded'],
        help='(default: both)',
    )
    part.add_argument(
        '--reference',
        metavar='LABEL',
        help="the row, or the start of its label, that others are told against: 'sa24/folded/eager'"
        ' (default: the first)',
    )

    part = add_part(parts, 'repmixer', 'RepMixer against pooling in the same MetaFormer', 10)
    add_ways(part, [224, 256, 384, 512, 672, 800, 1024])

    text = "price and worth of FastViT's branches: training steps with and without, in turns"
    part = add_part(parts, 'overparam', text, 60)
    part.add_argument('archs', nargs='*', metavar='ARCH', default=['sa12', 'sa36'])
    add_sizes(part, [256], batch_size=8)
    part.add_argument(
        '--seeds',
        type=int,
        nargs='*',
        default=[],
        help='train the config on its sample data with these seeds, too, with and without',
    )
    part.add_argument('--config', default='semfpn_fastvit_t8', help='(default: %(default)s)')
    part.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', default=[])
    part.add_argument('--quick', action='store_true', help='tiny sizes: only whether all runs')

    part = add_part(parts, 'model', 'whole models from image file to result, by part', 60)
    part.add_argument(
        'configs',
        nargs='*',
        metavar='CONFIG',
        default=CONFIGS,
        help='(default: the three tasks with SA24)',
    )
    part.add_argument(
        '--checkpoints', nargs='+', default=[], help='one for each config; without: random weights'
    )
    part.add_argument(
        '--exported', nargs='+', default=[], metavar='FILE', help='.onnx or .xml, of one config'
    )
    part.add_argument('--image', help='picture; default: a photograph of a usual size')
    part.add_argument(
        '--forms',
        nargs='+',
        choices=['upstream', 'train', 'folded', 'folded/channels_last'],
        default=['upstream', 'train', 'folded'],
        help="upstream: the train form with mmdet's own mask head (default: all but the last)",
    )
    part.add_argument(
        '--precisions',
        nargs='+',
        choices=['fp32', 'bf16'],
        default=['fp32'],
        help='of .xml files; everything else is fp32 (default: fp32)',
    )
    part.add_argument('--sample', action='store_true', help='settings of the sample data')
    part.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='override settings')

    text = 'the numbers of docs/model_zoo.md; a run that was stopped goes on where it was'
    part = add_part(parts, 'zoo', text, 8, rounds=7)
    part.add_argument('--quick', action='store_true', help='few and tiny: only whether all runs')

    part = parts.add_parser(
        'evaluation', help='the metrics, against pycocotools, mmseg, mmdet and a plain loop'
    )
    part.add_argument('--out', type=Path, required=True, help='JSON file of the results')
    part.add_argument('--quick', action='store_true', help='small sizes: seconds, not minutes')
    part.set_defaults(run=evaluation)
    part = parts.add_parser(
        'sampler', help='training epochs with drawn picture sizes, beside a fixed size'
    )
    part.add_argument('--out', type=Path, required=True, help='JSON file of the results')
    part.add_argument('--threads', type=int, help='default: the cores of this process')
    part.add_argument('--quick', action='store_true', help='tiny sizes: only whether all runs')
    part.set_defaults(run=sampler)
    part = parts.add_parser(
        'scaling', help='on paper: step time, memory and network of training on many GPUs'
    )
    part.add_argument('configs', nargs='*', metavar='CONFIG', default=CONFIGS)
    part.add_argument('--out', type=Path, required=True, help='JSON file of the results')
    part.set_defaults(run=scaling)
    part = parts.add_parser(
        'soak', help='training and testing on sample data in a loop: what grows?'
    )
    part.add_argument('configs', nargs='*', metavar='CONFIG', default=SMALL_CONFIGS)
    part.add_argument('--minutes', type=float, default=20, help='(default: %(default)s)')
    part.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', default=SHORT)
    part.add_argument('--out', type=Path, required=True, help='JSON file of the results')
    part.set_defaults(run=soak)
    part = parts.add_parser(
        'curves', help='losses and scores of trainings beside each other, from their logs'
    )
    part.add_argument('trainings', nargs='+', metavar='NAME=FOLDER', help='work dirs, named')
    part.add_argument('--score', default='mIoU', help='(default: %(default)s)')
    part.add_argument('--out', type=Path, required=True, help='JSON file of the results')
    part.set_defaults(run=curves)
    part = parts.add_parser(
        'gpu', help='everything of a GPU in some minutes: networks, training, prediction'
    )
    part.add_argument(
        'parts',
        nargs='*',
        metavar='NAME',
        help='of backbones, training_step, mends, camvid, hands, prediction (default: all)',
    )
    part.add_argument('--minutes', type=float, default=8, help='(default: %(default)s)')
    part.add_argument('--out', type=Path, required=True, help='folder of the results, JSON')
    part.add_argument('--data', type=Path, metavar='FOLDER', help="CamVid in SegNet's layout")
    part.add_argument('--device', choices=['cpu', 'cuda'], default='cuda')
    part.add_argument('--quick', action='store_true', help='tiny sizes: only whether all runs')
    part.set_defaults(run=gpu)
    args = parser.parse_args(argv)

    from benchmarks.output import check_out

    if args.run is not gpu:  # which writes a folder
        check_out(args.out)
    args.run(args)


if __name__ == '__main__':
    run(main)
