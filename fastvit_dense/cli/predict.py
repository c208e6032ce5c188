"""Predict pictures or a video; write pictures and JSON.

fastvit-dense predict work_dirs/maskrcnn_fastvit_sa24/epoch_12.pth photos/ --out-dir out
fastvit-dense predict maskrcnn_fastvit_sa24 CHECKPOINT photo.jpg
fastvit-dense predict MODEL 'photos/**/*.jpg' --no-pictures --shard 3/10 --resume
find photos -name '*.jpg' | fastvit-dense predict MODEL - --score-thr 0.5 --as-annotations
fastvit-dense predict MODEL aerial.tif --tiles 1024 --overlap 0.25
fastvit-dense predict MODEL clip.mp4
fastvit-dense predict HANDS photo.jpg --boxes DETECTOR

Pictures that cannot be read are named at the end and stop nothing: the exit status is 0 where at
least one was predicted or all were done before, else 1.
"""

import argparse
from typing import Any

from .common import Arguments, add_config, add_fuse, add_tiles, count, share


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    """Read the arguments and predict."""
    parser.usage = '%(prog)s MODEL [CHECKPOINT] SOURCE [SOURCE ...] [options]'
    add_config(parser)
    parser.add_argument(
        'words',
        nargs='+',
        metavar='SOURCE',
        help='checkpoint, or a file that `export` wrote, none after one; then pictures: files, '
        'folders, patterns, a .txt of names, - for names on standard input, http(s) addresses; or '
        'videos, or a camera by its number (0, camera:0) or address (rtsp://..., '
        'camera:http://...)',
    )
    parser.add_argument('--out-dir', default='predictions', help='(default: %(default)s)')
    add_fuse(parser)
    parser.add_argument(
        '--recursive', action='store_true', help='take folders within a folder, too'
    )
    parser.add_argument(
        '--batch-size',
        type=count,
        metavar='N',
        help='pictures of one size at a time (default: 8 on a GPU, else 1)',
    )
    parser.add_argument(
        '--score-thr',
        type=share,
        metavar='T',
        help='leave out what scores less; else the data holds all, and pictures show 0.3 and more',
    )
    parser.add_argument(
        '--no-pictures',
        action='store_true',
        help='write data only, a line for each picture, into predictions.jsonl',
    )
    parser.add_argument(
        '--as-annotations',
        action='store_true',
        help='also write annotations to correct and train on: annotations.json (COCO), or masks/',
    )
    parser.add_argument(
        '--format',
        choices=('jsonl', 'parquet'),
        help='write the data into one file: lines of JSON, or Parquet (default: jsonl)',
    )
    parser.add_argument(
        '--resume', action='store_true', help='leave out what an earlier run has written'
    )
    parser.add_argument(
        '--shard', metavar='I/N', help='every N-th picture from the I-th on, with a file of lines'
    )
    add_tiles(parser)
    parser.add_argument('--smooth', action='store_true', help='video of a hand: make it steady')
    parser.add_argument(
        '--boxes',
        metavar='FILE',
        help='hands: where they are: the predictions.jsonl of a detector, or the detector itself',
    )
    args = parser.parse_args(arguments)

    from ..inference.sources import split_words
    from ..inference.video import is_video

    checkpoint, sources = split_words(args.config, args.words)
    common: dict[str, Any] = dict(
        sample=args.sample,
        cfg_options=args.cfg_options,
        fuse=args.fuse,
        batch_size=args.batch_size,
        score_thr=args.score_thr,
        pictures=not args.no_pictures,
    )
    if any(is_video(source) for source in sources):
        from ..engine.video import predict_videos

        given = [
            name
            for name in (
                'recursive',
                'as_annotations',
                'format',
                'resume',
                'shard',
                'tiles',
                'boxes',
            )
            if getattr(args, name)
        ]
        if given:
            parser.error(f'--{given[0].replace("_", "-")}: for pictures, not for videos')
        predict_videos(args.config, checkpoint, sources, args.out_dir, smooth=args.smooth, **common)
        return
    if args.smooth:
        parser.error('--smooth: for videos')

    from ..engine.prediction import predict

    predict(
        args.config,
        checkpoint,
        sources,
        args.out_dir,
        recursive=args.recursive,
        as_annotations=args.as_annotations,
        resume=args.resume,
        shard=args.shard,
        tiles=args.tiles,
        overlap=args.overlap,
        boxes=args.boxes,
        format=args.format,
        **common,
    )
