"""Write a model as ONNX, OpenVINO or Core ML file and check it against PyTorch.

fastvit-dense export semfpn_fastvit_sa24 CHECKPOINT --format onnx --out sa24.onnx
fastvit-dense export work_dirs/semfpn_fastvit_sa24/iter_40000.pth --format onnx --out sa24.onnx
fastvit-dense export maskrcnn_fastvit_sa24 CHECKPOINT --format openvino --out sa24.xml
fastvit-dense export semfpn_fastvit_sa24 CHECKPOINT --format coreml --out sa24.mlpackage
fastvit-dense export MODEL --format coreml --out m.mlpackage --size 512 512 --size 512 1024
fastvit-dense export semfpn_fastvit_sa24 CHECKPOINT --format onnx --out fp16.onnx --precision fp16
fastvit-dense export semfpn_fastvit_sa24 CHECKPOINT --format onnx --out int8.onnx --int8 symmetric

Folded, with the normalisation inside: one input `image` (batch, 3, height, width), RGB, 0-255. Exit
status 1 where the file does not compute what PyTorch computes; it stays, to be looked at. See
docs/deployment.md.
"""

import argparse

from .common import Arguments, add_config


def main(parser: argparse.ArgumentParser, arguments: Arguments) -> int:
    """Read the arguments and export; return the exit status."""
    add_config(parser)
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint file; none after one that carries its config'
    )
    parser.add_argument(
        '--format',
        required=True,
        help="onnx, openvino, coreml, or one's own that the config's imports register",
    )
    parser.add_argument('--out', required=True, help='file to write: .onnx, .xml or .mlpackage')
    parser.add_argument(
        '--part',
        default='model',
        choices=('model', 'backbone'),
        help='the whole model, or the feature maps of its backbone (default: %(default)s)',
    )
    parser.add_argument(
        '--size',
        nargs=2,
        type=int,
        action='append',
        default=[],
        metavar=('HEIGHT', 'WIDTH'),
        help='size to check with (default: what the config tests with); Core ML files take this '
        'one only, or several where it is given several times',
    )
    parser.add_argument(
        '--with-mano',
        action='store_true',
        help="hand: give the mesh, with your MANO file's arrays inside (not to be passed on)",
    )
    parser.add_argument(
        '--precision',
        choices=('fp32', 'fp16'),
        help='of ONNX and OpenVINO files (default: fp32); Core ML files are fp16',
    )
    parser.add_argument(
        '--int8',
        nargs='?',
        const=True,
        default=False,
        metavar='symmetric',
        help='quantise to 8 bits, ranges from training images; `symmetric`: every zero point 0, as '
        'TensorRT wants it',
    )
    parser.add_argument(
        '--calibration-images', type=int, default=32, metavar='N', help='(default: %(default)s)'
    )
    args = parser.parse_args(arguments)
    sizes = args.size

    from ..deploy.export import export

    return export(
        args.config,
        args.checkpoint,
        args.format,
        args.out,
        part=args.part,
        size=tuple(sizes[0]) if sizes else None,
        more_sizes=map(tuple, sizes[1:]),
        with_mano=args.with_mano,
        precision=args.precision,
        int8=args.int8,
        calibration_images=args.calibration_images,
        sample=args.sample,
        cfg_options=args.cfg_options,
    )
