"""Core ML programs, as far as they can be judged without a Mac: structure and traced graph."""

import pytest
import torch

from fastvit_dense import load_model
from fastvit_dense.backbones.variants import VARIANTS
from fastvit_dense.deploy.coreml import (
    ResizesByFactors,
    channel_scalings,
    check_structure,
    convert,
    input_sizes,
    operations,
)
from fastvit_dense.deploy.description import Description
from fastvit_dense.deploy.export import export
from fastvit_dense.errors import ExportError
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming
from tests.tiny import of_variant, save_random

ct = pytest.importorskip('coremltools', reason='extra [deploy] is not installed')
pytestmark = pytest.mark.integration
SLOW_VARIANTS = [pytest.param(a, marks=pytest.mark.slow) for a in VARIANTS if a not in ('t8', 'hd')]
FP32, FP16 = 65568, 65552  # Core ML's ArrayFeatureType.ArrayDataType


def load(path):
    return ct.models.MLModel(str(path), skip_model_load=True)


@pytest.mark.parametrize('arch', ['t8', *SLOW_VARIANTS])
def test_backbone_of_every_variant(root_dir, arch, tmp_path, capsys):
    config, options = root_dir / 'configs/semfpn_fastvit_t8.py', of_variant(arch)
    cfg = load_config(config, cfg_options=options, pretrained=False)
    checkpoint = tmp_path / 'random.pth'
    torch.save({'state_dict': load_model(cfg, device='cpu').model.state_dict()}, checkpoint)
    path = tmp_path / 'backbone.mlpackage'
    status = export(
        config, checkpoint, 'coreml', path, part='backbone', size=(64, 96), cfg_options=options
    )
    assert status == 0, capsys.readouterr().out
    program = load(path)
    counts = operations(program)
    assert counts['batch_norm'] == 0
    assert channel_scalings(program) == 0
    assert counts['conv'] > 20
    spec = program.get_spec()
    assert spec.WhichOneof('Type') == 'mlProgram'
    (image,) = spec.description.input
    assert image.name == 'image'
    assert (image.type.imageType.height, image.type.imageType.width) == (64, 96)
    colors = image.type.imageType.ColorSpace.DESCRIPTOR.values_by_number
    assert colors[image.type.imageType.colorSpace].name == 'RGB'
    assert [o.name for o in spec.description.output] == [f'stage{i}' for i in range(4)]
    assert {o.type.multiArrayType.dataType for o in spec.description.output} == {FP32}
    description = Description.from_strings(program.user_defined_metadata, path)
    assert description.precision == 'fp16'
    assert not description.dynamic_size


@pytest.mark.parametrize('task', [pytest.param('semantic', marks=pytest.mark.slow), 'hand'])
def test_whole_models(request, task, shallow, tmp_path, capsys):
    config = request.getfixturevalue(f'tiny_{task}')
    options = [f'model.backbone.arch={shallow}']
    checkpoint = save_random(load_config(config, cfg_options=options), tmp_path / 'random.pth')
    path = tmp_path / 'model.mlpackage'
    path.mkdir()
    for name in ('Manifest.json', 'of an earlier export'):
        (path / name).write_text('')
    status = export(config, checkpoint, 'coreml', path, cfg_options=options)
    assert status == 0, capsys.readouterr().out
    assert {p.name for p in path.iterdir()} == {'Manifest.json', 'Data'}
    assert {p.name for p in tmp_path.iterdir()} == {path.name, checkpoint.name}
    program = load(path)
    names = [o.name for o in program.get_spec().description.output]
    expected = {
        'semantic': ['logits'],
        'hand': ['global_orient', 'hand_pose', 'betas', 'camera'],
    }
    assert names == expected[task]
    assert operations(program)['batch_norm'] == 0


@pytest.mark.parametrize('part', [pytest.param('backbone', marks=pytest.mark.slow), 'model'])
def test_several_sizes(tiny_semantic, shallow, part, tmp_path, capsys):
    """A segmentor whose maps are resized by factors: right in each size, and in the program."""
    path, sizes = tmp_path / 'model.mlpackage', [(64, 96), (96, 64), (128, 128)]
    options = [f'model.backbone.arch={shallow}']
    cfg = load_config(tiny_semantic, cfg_options=options)
    status = export(
        tiny_semantic,
        save_random(cfg, tmp_path / 'random.pth'),
        'coreml',
        path,
        part=part,
        size=sizes[0],
        more_sizes=sizes[1:],
        cfg_options=options,
    )
    out = capsys.readouterr().out
    assert status == 0, out
    assert all(f'{h}x{w}' in out for h, w in sizes)
    program = load(path)
    assert input_sizes(program) == sizes
    outputs = [o.name for o in program.get_spec().description.output]
    assert outputs == (['logits'] if part == 'model' else [f'stage{i}' for i in range(4)])
    assert operations(program)['batch_norm'] == 0
    assert Description.from_strings(program.user_defined_metadata, path).dynamic_size


def test_several_sizes_are_for_core_ml(tiny_semantic, random_semantic, tmp_path):
    arguments = (tiny_semantic, random_semantic, 'onnx', tmp_path / 'model.onnx')
    with raises_naming(ExportError, '--size', 'any size'):
        export(*arguments, size=(64, 64), more_sizes=[(96, 96)])


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_resizing_by_factors():
    """The same numbers, with the factor of one size where another size comes in."""

    def upsample(x):
        return torch.nn.functional.interpolate(x, size=[2 * n for n in x.shape[2:]], mode='nearest')

    with ResizesByFactors():
        traced = torch.jit.trace(upsample, torch.rand(1, 2, 4, 6))
        other = torch.rand(1, 2, 3, 5)
        assert torch.equal(upsample(other), other.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert torch.equal(traced(other), other.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert 'aten::size' not in str(traced.graph)


class Scaled(torch.nn.Module):
    """A layer scale on a sum, and a BatchNorm on it: nothing that the converter could fold."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 1)
        self.scale = torch.nn.Parameter(torch.rand(8, 1, 1))
        self.norm = torch.nn.BatchNorm2d(8)
        torch.nn.init.uniform_(self.norm.running_mean)

    def forward(self, x):
        x = self.conv(x).relu()
        return self.norm(x + self.scale * x)


def test_what_is_left_unfolded_is_seen():
    traced = torch.jit.trace(Scaled().eval(), torch.rand(1, 3, 32, 32))
    program = convert(traced, [(32, 32)], ('out',))
    assert operations(program)['batch_norm'] == 1
    assert channel_scalings(program) == 1
    failed = [line for line in check_structure(program, [(32, 32)]) if not line.passed]
    assert len(failed) == 2


class Head(torch.nn.Module):
    """A hand's head scales camera and offsets by constants: three numbers, not channels of maps."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.rand(3))

    def forward(self, x):
        return x.mean((2, 3)) * self.scale


def test_constants_of_a_head_are_no_layer_scale():
    traced = torch.jit.trace(Head(), torch.rand(1, 3, 32, 32))
    program = convert(traced, [(32, 32)], ('out',))
    assert operations(program)['mul'] == 1
    assert channel_scalings(program) == 0


class Foreign(torch.nn.Module):
    def forward(self, x):
        return torch.special.i0e(x)


def test_operator_that_cannot_be_converted():
    traced = torch.jit.trace(Foreign(), torch.rand(1, 3, 32, 32))
    with raises_naming(ExportError, 'coremltools', 'special_i0e', '--part backbone'):
        convert(traced, [(32, 32)], ('out',))
