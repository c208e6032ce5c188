"""Pictures a second, one by one and in batches, and the memory of a long stream of pictures.

python benchmarks/many_pictures.py semfpn_fastvit_t8 --pictures 10000 --size 64
python benchmarks/many_pictures.py maskrcnn_fastvit_sa24 --pictures 400 --batch-size 8

Random weights, folded, photographs of one size as arrays. Rates are taken in turns over at most 200
pictures each; then all pictures go through `Predictor.stream`, and the peak of the memory is
printed after each tenth of them.
"""

import argparse
import resource
import time
import warnings
from collections.abc import Iterator

import numpy as np

from fastvit_dense import load_model

TIMED, TURNS = 200, 4


def main() -> None:
    """Print both rates, and the peak of the memory after each tenth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config')
    parser.add_argument('--pictures', type=int, default=10_000)
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument(
        '--size',
        type=int,
        help="side of the pictures and of the network's input (480x640, and the config's)",
    )
    args = parser.parse_args()
    warnings.filterwarnings('ignore', '.*random weights')
    cfg = load_config(args.config, args.size)
    model = load_model(cfg).fuse()
    height, width = (480, 640) if args.size is None else (args.size, args.size)
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    some = [picture] * max(args.batch_size, min(TIMED, args.pictures) // TURNS)
    model(some[: args.batch_size], args.batch_size)  # warms up
    rates: dict[int, list[float]] = {1: [], args.batch_size: []}
    for _ in range(TURNS):
        for size, found in rates.items():
            start = time.perf_counter()
            for _ in model.stream(some, size):
                pass
            found.append(len(some) / (time.perf_counter() - start))
    for size, found in rates.items():
        print(f'batches of {size}: {np.median(found):.1f} pictures a second')
    for done in stream(model, picture, args.pictures, args.batch_size):
        print(f'{done} pictures: peak {peak():.0f} MB', flush=True)


def load_config(name: str, size: int | None):  # noqa: ANN201
    """Read a config, its test pictures resized to a small size where one is given."""
    from fastvit_dense.tasks.config import load_config

    scale = [] if size is None else [f'test_dataloader.dataset.pipeline.1.scale=({size},{size})']
    return load_config(name, pretrained=False, cfg_options=scale)


def stream(model, picture: np.ndarray, count: int, batch_size: int) -> Iterator[int]:  # noqa: ANN001
    """Predict pictures; yield their number after each tenth."""
    pictures = (picture for _ in range(count))
    for done, _ in enumerate(model.stream(pictures, batch_size), start=1):
        if done % max(1, count // 10) == 0:
            yield done


def peak() -> float:
    """Most memory that the process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == '__main__':
    main()
