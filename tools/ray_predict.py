"""Predict many pictures on all machines of a Ray cluster; what is done stays done.

python tools/ray_predict.py work_dirs/parts/epoch_12.pth photos/ --out-dir out
python tools/ray_predict.py MODEL names.txt --out-dir /shared/out --workers 16 --gpus 1

Needs `pip install 'fastvit-dense[ray]'`. Pictures and OUT_DIR must have the same place on every
machine. A batch is a file of lines, predictions-HASH.jsonl, as `predict --no-pictures` writes them,
beside the label maps of semantic models; it appears whole. Started again, also after a crash, it
predicts the pictures that no file tells of. Where Ray runs already, it is used: `ray start`, and
RAY_ADDRESS.
"""

import hashlib
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _cli import make_parser, run

LISTED = 20  # pictures that cannot be read, by name


def main(argv: Sequence[str] | None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('model', help='checkpoint that training wrote, or an exported file')
    parser.add_argument('source', help='a folder, a pattern, or a .txt of names')
    parser.add_argument('--out-dir', type=Path, default=Path('predictions'))
    parser.add_argument('--recursive', action='store_true', help='take folders within a folder')
    parser.add_argument('--score-thr', type=float, help='leave out what scores less')
    parser.add_argument('--batch-size', type=int, default=32, help='pictures of a file of lines')
    parser.add_argument('--workers', type=int, default=1, help='models at work')
    parser.add_argument('--gpus', type=float, default=0, help='of each worker, such as 1 or 0.5')
    args = parser.parse_args(argv)

    from fastvit_dense.errors import ConfigError
    from fastvit_dense.inference.sources import list_images

    if find_spec('ray') is None:
        raise ConfigError("ray is not installed: pip install 'fastvit-dense[ray]'")
    rows = todo(list_images(args.source, args.recursive), args.out_dir)
    if not rows:
        return
    import ray.data

    from fastvit_dense import BatchPredictor

    model = str(Path(args.model).resolve()) if Path(args.model).exists() else args.model
    found = (
        ray.data.from_items(rows)
        .map_batches(
            BatchPredictor,
            fn_constructor_args=(model,),
            fn_constructor_kwargs={'score_thr': args.score_thr},
            batch_size=args.batch_size,
            concurrency=args.workers,
            num_gpus=args.gpus,
        )
        .map_batches(write, fn_args=(str(args.out_dir.resolve()),), batch_size=args.batch_size)
    )
    errors = [row['error'] for row in found.iter_rows() if row['error']]
    for error in errors[:LISTED]:
        print(f'skipped: {error}')
    print(f'{len(rows) - len(errors)} pictures predicted, {len(errors)} could not be read')


def todo(paths: list[Path | str], out_dir: Path) -> list[dict[str, str]]:
    """Rows of the pictures that no file of lines tells of."""
    from fastvit_dense.engine.prediction_files import Lines, output_names, places

    files = sorted(out_dir.glob('predictions-*.jsonl'))
    done = {record['image'] for file in files for record in Lines(file, resume=False)}
    names, place = output_names(paths), places(paths)
    rows = [
        {
            'path': path if isinstance(path, str) else str(path.absolute()),
            'image': str(path),
            'file_name': place[path].as_posix(),
            'name': names[path],
        }
        for path in paths
        if str(path) not in done
    ]
    print(f'{len(rows)} pictures to predict, {len(paths) - len(rows)} done already', flush=True)
    return rows


def write(batch: dict[str, Any], out_dir: str) -> dict[str, Any]:
    """Write a batch; return what is wrong with each picture."""
    from fastvit_dense.checkpoints.files import replacing

    lines = []
    columns = ('image', 'file_name', 'name', 'error', 'height', 'width', 'prediction')
    for place, row in enumerate(zip(*(batch[name] for name in columns), strict=True)):
        image, file_name, name, error, height, width, prediction = row
        if error:
            continue
        for kind in set(batch) - {*columns, 'path'}:  # such as the labels of a semantic model
            with replacing(Path(out_dir, f'{name}_{kind}.png')) as part:
                part.write_bytes(batch[kind][place])
        about = {'image': image, 'file_name': file_name, 'height': int(height), 'width': int(width)}
        lines.append(json.dumps(about | json.loads(prediction)) + '\n')
    if lines:
        key = hashlib.sha256('\n'.join(batch['image']).encode()).hexdigest()[:16]
        with replacing(Path(out_dir, f'predictions-{key}.jsonl')) as part:
            part.write_text(''.join(lines), encoding='utf-8')
    return {'error': batch['error']}


if __name__ == '__main__':
    run(main)
