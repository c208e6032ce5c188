"""Peak of the memory while a Semantic FPN of 150 classes labels one large picture on the CPU.

python benchmarks/large_pictures.py WIDTH HEIGHT [--logits]

--logits goes mmseg's own way, which keeps the logits of all classes.
"""

import argparse
import contextlib
import resource
import time

import numpy as np

from fastvit_dense import load_model
from fastvit_dense.inference import predictor as prediction


def main() -> None:
    """Predict, and print the peak before and after, and the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('width', type=int)
    parser.add_argument('height', type=int)
    parser.add_argument('--logits', action='store_true')
    args = parser.parse_args()
    if args.logits:
        prediction.labels_in_strips = lambda model: contextlib.nullcontext()
    model = load_model('semfpn_fastvit_t8', device='cpu')
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (args.height, args.width, 3), np.uint8)
    before, start = peak(), time.perf_counter()
    labels = model(picture).labels
    seconds = time.perf_counter() - start
    print(
        f'{labels.shape[1]}x{labels.shape[0]}: peak {peak():.2f} GB, before the prediction '
        f'{before:.2f} GB, {seconds:.1f} s'
    )


def peak() -> float:
    """Most memory that the process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == '__main__':
    main()
