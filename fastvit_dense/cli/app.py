"""Serve a local page on which models are tried: picture or camera, overlay, times, JSON.

fastvit-dense app work_dirs/parts/epoch_12.pth
fastvit-dense app best.pth parts.onnx --port 8000
fastvit-dense app                                   # published models alone

It needs Gradio: pip install gradio. It listens at 127.0.0.1, so for this machine alone, unless
--host says otherwise; there is no password. Models are those named here and the published ones: the
page reads no other file.
"""

import argparse

from .common import Arguments


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    """Read the arguments and serve."""
    parser.add_argument(
        'models',
        nargs='*',
        metavar='MODEL',
        help='a checkpoint that training wrote, an exported file, or a name with published weights',
    )
    parser.add_argument('--host', default='127.0.0.1', help='(default: %(default)s)')
    parser.add_argument('--port', type=int, default=7860, help='(default: %(default)s)')
    parser.add_argument('--device', help='cpu, cuda, ... (default: a GPU where there is one)')
    args = parser.parse_args(arguments)

    from ..engine.app import serve

    serve(args.models, host=args.host, port=args.port, device=args.device)
