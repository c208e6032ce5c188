"""Make the sample data: small, real pixels, nothing downloaded.

example: python tools/sample_data.py data/sample
"""

import argparse
import sys
from pathlib import Path

TASKS = ('instance', 'semantic', 'hand')


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', type=Path, help='folder to write: coco/, ade20k/, freihand/')
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=TASKS)
    parser.add_argument('--force', action='store_true', help='make it again')
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> int:
    options = parse_args(args)
    from fastvit_dense.datasets.sample import TREES, make_sample_data

    scenes = [task for task in options.tasks if task in TREES]
    make_sample_data(options.out, options.force, scenes)
    if 'hand' in options.tasks:
        from fastvit_dense.hand.sample import make_sample_hands

        make_sample_hands(options.out)
    print(f'sample data for {", ".join(options.tasks)}: {options.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
