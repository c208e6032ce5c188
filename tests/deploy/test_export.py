"""Exported files against PyTorch: backbones of every variant, and the three whole models."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from fastvit_dense import load_model
from fastvit_dense.backbones.variants import VARIANTS
from fastvit_dense.deploy.export import export, trace
from fastvit_dense.deploy.job import prepare
from fastvit_dense.deploy.onnx_file import read_onnx
from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.errors import ExportError
from fastvit_dense.graphs.agreement import relative_error
from fastvit_dense.hand import standin_mano
from fastvit_dense.tasks.config import load_config
from tests.backbones.randomise import randomise
from tests.facts import raises_naming
from tests.hand.saving import write_mano
from tests.tiny import of_variant

pytestmark = pytest.mark.integration
SLOW_VARIANTS = [pytest.param(a, marks=pytest.mark.slow) for a in VARIANTS if a not in ('t8', 'hd')]
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)


def session(model):
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=['CPUExecutionProvider']
    )


def kinds(model):
    return {node.op_type for node in model.graph.node}


@pytest.mark.parametrize('arch', ['t8', *SLOW_VARIANTS])
def test_backbone_of_every_variant(root_dir, arch, tmp_path):
    """Any size, also odd, one pixel; normalised by hand on the PyTorch side, nothing folded."""
    config = root_dir / 'configs/semfpn_fastvit_t8.py'
    cfg = load_config(config, cfg_options=of_variant(arch), pretrained=False)
    torch.manual_seed(0)
    model = load_model(cfg, device='cpu').model
    reference = randomise(model.backbone.eval())
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'random.pth')
    job = prepare(cfg, tmp_path / 'random.pth', part='backbone', size=(64, 64))
    run = session(trace(job))
    for height, width in ((64, 64), (97, 131), (33, 1)):
        image = np.random.default_rng(0).integers(0, 256, (1, 3, height, width)).astype(np.float32)
        normal = (image - MEAN[:, None, None]) / STD[:, None, None]
        with torch.no_grad():
            expected = reference(torch.from_numpy(normal))
        found = run.run(None, {'image': image})
        assert len(found) == 4
        for one, other in zip(expected, found, strict=True):
            assert relative_error(one.numpy(), other) < 1e-4


@pytest.mark.parametrize('arch', ['t8', *SLOW_VARIANTS])
def test_backbone_of_every_variant_for_openvino(root_dir, arch, tmp_path, capsys):
    """Through the export's own check, at three sizes."""
    pytest.importorskip('openvino')
    config = root_dir / 'configs/semfpn_fastvit_t8.py'
    options = of_variant(arch)
    cfg = load_config(config, cfg_options=options, pretrained=False)
    model = load_model(cfg, device='cpu').model
    torch.save({'state_dict': randomise(model).state_dict()}, tmp_path / 'random.pth')
    out = tmp_path / 'backbone.xml'
    arguments = (config, tmp_path / 'random.pth', 'openvino', out)
    status = export(*arguments, part='backbone', size=(64, 64), cfg_options=options)
    assert status == 0, capsys.readouterr().out


def test_metadata(files, tiny_semantic):
    path = files('semantic', 'onnx')
    _, description = read_onnx(path)
    model = load_model(tiny_semantic)
    assert description.task == 'semantic'
    assert description.classes == list(model.classes)
    assert description.config == 'tiny_semantic.py'
    assert description.input_size == [64, 64]
    assert description.mean == pytest.approx([123.675, 116.28, 103.53])
    assert description.std == pytest.approx([58.395, 57.12, 57.375])
    assert description.parameters == sum(p.numel() for p in model.model.parameters())
    assert len(description.checkpoint_sha256) == 64
    stored = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(stored['classes']) == list(model.classes)


def test_hand_parameters(files, tiny_hand, random_hand, tmp_path, capsys):
    """The stand-in hand is free: parameters without, mesh with `with_mano`; no licence is told."""
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224))
    found = ExportedNetwork(files('hand', 'onnx'))(image)
    assert {name: array.shape for name, array in found.items()} == {
        'global_orient': (1, 3, 3),
        'hand_pose': (1, 15, 3, 3),
        'betas': (1, 10),
        'camera': (1, 3),
    }
    path = tmp_path / 'mesh.onnx'
    assert export(tiny_hand, random_hand, 'onnx', path, with_mano=True) == 0
    mesh = ExportedNetwork(path)(image)
    assert mesh['vertices'].shape == (1, 778, 3)
    mano = load_model(tiny_hand).model.mano
    parameters = (torch.from_numpy(found[n]) for n in ('global_orient', 'hand_pose', 'betas'))
    expected = mano(*parameters)
    joints = expected.joints - expected.joints[:, 9:10]
    np.testing.assert_allclose(mesh['joints'], joints.numpy(), atol=1e-5)
    assert 'licence' not in capsys.readouterr().out


@pytest.fixture
def licensed(tiny_hand, tmp_path):
    """A config like `tiny_hand` with a MANO file in place of the stand-in."""
    write_mano(tmp_path / 'MANO_RIGHT.npz', standin_mano(seed=5))
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = '{tiny_hand}'\n"
        f"model = dict(mano=dict(_delete_=True, path='{tmp_path}/MANO_RIGHT.npz'))\n"
    )
    return config


def test_licence_is_told(licensed, random_hand, tmp_path, capsys):
    """With the mesh; the next test exports without."""
    assert export(licensed, random_hand, 'onnx', tmp_path / 'mesh.onnx', with_mano=True) == 0
    assert 'https://mano.is.tue.mpg.de/license.html' in capsys.readouterr().out


def test_a_file_that_differs_fails_and_stays(licensed, random_hand, tmp_path, monkeypatch, capsys):
    """One weight changed on the way into the file: exit status 1, the file is there."""
    from fastvit_dense.deploy import export as module

    original = module.trace_onnx

    def spoiled(graph, image):
        graph.model.head.step.bias.data[0] += 0.01
        return original(graph, image)

    monkeypatch.setattr(module, 'trace_onnx', spoiled)
    path = tmp_path / 'hand.onnx'
    assert export(licensed, random_hand, 'onnx', path) == 1
    assert path.is_file()
    out = capsys.readouterr().out
    assert 'FAILED' in out
    assert 'licence' not in out, 'nothing of the MANO file is in it'


@pytest.mark.parametrize(
    ('arguments', 'facts'),
    [
        (dict(format='tflite', out='x.tflite'), ('--format', 'tflite', 'onnx', 'openvino')),
        (dict(out='x.xml'), ('x.xml', '.onnx')),
        (dict(format='openvino', out='x.onnx'), ('x.onnx', '.xml')),
        (dict(part='neck'), ('--part', 'neck', 'model', 'backbone')),
        (dict(size=(16, 64)), ('--size', 16, 64, 32)),
        (dict(size=(64, 96)), ('--size', 64, 96, 'square')),
        (dict(format='coreml', out='x.mlpackage', int8=True), ('--int8', 'onnx', 'openvino')),
        (dict(int8=True, calibration_images=0), ('--calibration-images', 0, 'at least 1')),
        (dict(part='backbone', with_mano=True), ('--with-mano', '--part backbone')),
        (dict(int8='lopsided'), ('--int8 lopsided', 'symmetric')),
        (dict(int8=True, precision='fp16'), ('--int8', '--precision fp16', 'one of them')),
        (dict(precision='fp8'), ('--precision fp8', 'fp32', 'fp16')),
        (
            dict(format='coreml', out='x.mlpackage', precision='fp32'),
            ('--precision fp32', 'onnx, openvino', 'coreml', 'fp16'),
        ),
        (
            dict(format='coreml', out='x.mlpackage', int8='symmetric'),
            ('--int8 symmetric', 'onnx, openvino', 'coreml'),
        ),
    ],
    ids=lambda value: ' '.join(map(str, value)) if isinstance(value, tuple) else '',
)
def test_arguments_that_do_not_fit(tiny_hand, random_hand, tmp_path, arguments, facts):
    arguments = {'format': 'onnx', 'out': 'x.onnx'} | arguments
    arguments['out'] = tmp_path / arguments['out']
    with raises_naming(ExportError, *facts):
        export(tiny_hand, random_hand, **arguments)
    assert not arguments['out'].exists()


def test_exported_file_in_place_of_the_checkpoint(tiny_hand, tmp_path):
    with raises_naming(ExportError, tmp_path / 'a.onnx', 'exported already', 'checkpoint'):
        export(tiny_hand, tmp_path / 'a.onnx', 'onnx', tmp_path / 'b.onnx')


def test_missing_runtime_is_named_with_its_extra(tiny_hand, random_hand, tmp_path, monkeypatch):
    from fastvit_dense.deploy import runtime

    find = runtime.importlib.util.find_spec
    monkeypatch.setattr(
        runtime.importlib.util, 'find_spec', lambda name: None if name == 'openvino' else find(name)
    )
    with raises_naming(
        ExportError, 'openvino', 'pip install openvino', "pip install 'fastvit-dense[deploy]'"
    ):
        export(tiny_hand, random_hand, 'openvino', tmp_path / 'x.xml')


def test_place_that_cannot_be_written(tiny_hand, random_hand, tmp_path):
    (tmp_path / 'file').write_text('')
    with raises_naming(ExportError, tmp_path / 'file/x.onnx', 'cannot be written'):
        export(tiny_hand, random_hand, 'onnx', tmp_path / 'file/x.onnx')


def test_what_lies_at_the_place_is_not_lost(tiny_hand, random_hand, tmp_path):
    """Folders and files that are no exports, and a checkpoint where the weights would go."""
    for kind, suffix in (('onnx', '.onnx'), ('openvino', '.xml'), ('coreml', '.mlpackage')):
        folder = tmp_path / f'mine{suffix}'
        folder.mkdir()
        (folder / 'file').write_text('mine')
        with raises_naming(ExportError, '--out', folder, 'no earlier export'):
            export(tiny_hand, random_hand, kind, folder)
        assert [path.name for path in folder.iterdir()] == ['file']
    (tmp_path / 'file.mlpackage').write_text('mine')
    with raises_naming(ExportError, '--out', tmp_path / 'file.mlpackage', 'no earlier export'):
        export(tiny_hand, random_hand, 'coreml', tmp_path / 'file.mlpackage')
    checkpoint = tmp_path / 'weights.bin'
    checkpoint.write_bytes(random_hand.read_bytes())
    with raises_naming(ExportError, '--out', tmp_path / 'weights.xml', 'checkpoint', checkpoint):
        export(tiny_hand, checkpoint, 'openvino', tmp_path / 'weights.xml')
    assert checkpoint.read_bytes() == random_hand.read_bytes()
