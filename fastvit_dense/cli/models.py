"""List published weights: name, size of the backbone, what each file can do, its licence.

fastvit-dense models
fastvit-dense models mobileclip2
fastvit-dense models sa24 --json

A name is typed where a checkpoint is given, and so are those of timm and Hugging Face. What is not
known of a file is left empty. Parameters are the backbone's as trained, multiply-accumulates those
of its folded form on one 512x512 picture. Licences are named in a few words, which do not replace
them.
"""

import argparse

from .common import Arguments


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> int:
    """Read the arguments and print the rows."""
    parser.add_argument(
        'pattern', nargs='?', default='', help='only files whose name or use contains this'
    )
    parser.add_argument('--json', action='store_true', help='one list of objects, with addresses')
    args = parser.parse_args(arguments)

    from ..checkpoints.listing import listing, listing_table

    rows = listing(args.pattern)
    if args.json:
        import json

        print(json.dumps(rows, indent=2))
    else:
        print(listing_table(rows) if rows else f'no published file is called {args.pattern!r}')
    return 0 if rows else 1
