"""Score saved predictions, or compare reports.

python tools/evaluate.py configs/maskrcnn_fastvit_sa24.py --predictions instances.json
python tools/evaluate.py --compare A/report.json B/report.json
"""

from collections.abc import Sequence

from _cli import add_config_arguments, make_parser, run


def main(argv: Sequence[str] | None) -> None:
    parser = make_parser(__doc__)
    add_config_arguments(parser, required=False)
    parser.add_argument(
        '--predictions',
        metavar='PATH',
        help='COCO result file, folder of label PNGs, or FreiHAND pred.json/.zip',
    )
    parser.add_argument('--work-dir', help='where the report goes (work_dirs/CONFIG)')
    parser.add_argument('--compare', nargs='+', metavar='REPORT', help='report.json files')
    args = parser.parse_args(argv)
    if args.compare:
        if args.config or args.predictions:
            parser.error('--compare takes report files only')
        from fastvit_dense.evaluation.report.compare import compare_reports

        compare_reports(args.compare, args.work_dir or '.')
        return
    if not args.config or not args.predictions:
        parser.error('needs CONFIG and --predictions PATH, or --compare REPORT ...')

    from fastvit_dense.engine.scoring import score_predictions

    score_predictions(
        args.config,
        args.predictions,
        sample=args.sample,
        cfg_options=args.cfg_options,
        work_dir=args.work_dir,
    )


if __name__ == '__main__':
    run(main)
