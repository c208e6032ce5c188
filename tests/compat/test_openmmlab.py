"""What openmmlab.py evens out, with the OpenMMLab that is installed here."""

import importlib.util
import json
import subprocess
import sys
import types

import pytest
import torch
from mmengine.config import Config
from mmengine.utils.dl_utils import collect_env

import fastvit_dense
from fastvit_dense.compat import openmmlab

from ..facts import raises_naming

pytestmark = pytest.mark.integration
needs_stand_in = pytest.mark.skipif(
    not openmmlab.uses_stand_in(), reason='mmcv has its own compiled operators here'
)


def run(root_dir, *statements):
    """The JSON that the last of the statements, an expression, gives in a fresh interpreter."""
    *before, result = statements
    program = '\n'.join(['import json, sys', *before, f'print(json.dumps({result}))'])
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', program],
        cwd=root_dir,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ('base', 'expected'),
    [
        ('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', {'model.type': 'MaskRCNN'}),
        ('mmdet::_base_/schedules/schedule_1x.py', {'train_cfg.max_epochs': 12}),
        ('mmseg::sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py', {'model.type': 'EncoderDecoder'}),
        ('mmseg::_base_/models/fpn_r50.py', {'model.decode_head.type': 'FPNHead'}),
    ],
)
def test_bases_of_installed_packages(base, expected, tmp_path):
    (tmp_path / 'mine.py').write_text(f'_base_ = {base!r}\n')
    config = Config.fromfile(tmp_path / 'mine.py')
    for key, value in expected.items():
        for part in key.split('.'):
            config = config[part]
        assert config == value


def test_bases_are_found_without_reading_the_metafiles(monkeypatch, tmp_path):
    def load(path):
        raise AssertionError(f'reads {path}')

    monkeypatch.setattr('mmengine.config.utils.load', load)
    path = tmp_path / 'config.py'
    path.write_text("_base_ = ['mmseg::_base_/models/fpn_r50.py']")
    assert Config.fromfile(path).model.decode_head.type == 'FPNHead'


def test_unknown_base_is_an_error(tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'mmseg::sem_fpn/no_such_config.py'\n")
    with raises_naming(FileNotFoundError, 'sem_fpn/no_such_config.py'):
        Config.fromfile(tmp_path / 'mine.py')


def test_a_config_is_formatted_once(monkeypatch):
    yapflib = importlib.import_module('yapf.yapflib')
    monkeypatch.setattr(yapflib, 'yapf_api', importlib.import_module('yapf.yapflib.yapf_api'))
    monkeypatch.delitem(sys.modules, 'yapf.yapflib.yapf_api')
    yapf_api = importlib.import_module('yapf.yapflib.yapf_api')
    formatted, format_tree = [], yapf_api.FormatTree

    def count(tree, **settings):
        formatted.append(str(tree))
        return format_tree(tree, **settings)

    monkeypatch.setattr(yapf_api, 'FormatTree', count)
    text = Config(dict(model=dict(type='A'), b=[1, 2])).pretty_text
    assert text == "b = [\n    1,\n    2,\n]\nmodel = dict(type='A')\n"
    assert Config(dict(model=dict(type='A'), b=[1, 2])).pretty_text == text
    assert len(formatted) == 1
    assert Config(dict(model=dict(type='B'), b=[1, 2])).pretty_text == text.replace('A', 'B')
    assert len(formatted) == 2


def test_import_is_light(root_dir):
    heavy = ['mmdet', 'mmseg', 'mmcv.ops', 'torchvision', 'pytorch3d', 'onnx', 'timm']
    loaded = run(root_dir, 'import fastvit_dense', f'[m for m in {heavy} if m in sys.modules]')
    assert loaded == []


@needs_stand_in
def test_stand_in_is_found_like_a_module():
    extension = importlib.import_module('mmcv._ext')
    assert importlib.util.find_spec('mmcv._ext') is extension.__spec__
    assert callable(extension.any_name_at_all)
    with raises_naming(AttributeError, 'mmcv._ext', '__path__'):
        extension.__path__  # noqa: B018


def test_environment_report_of_mmengine_and_mmcv():
    mmcv_env = importlib.import_module('mmcv.utils')
    assert 'PyTorch' in collect_env()
    assert 'MMCV' in mmcv_env.collect_env()


def test_compiled_operators_are_left_alone(monkeypatch):
    compiled = types.ModuleType('mmcv._ext')
    monkeypatch.setitem(sys.modules, 'mmcv._ext', compiled)
    openmmlab.install()
    assert sys.modules['mmcv._ext'] is compiled


def test_install_twice_changes_nothing():
    before = sys.modules.get('mmcv._ext')
    openmmlab.install()
    assert sys.modules.get('mmcv._ext') is before


def test_without_mmcv_there_is_no_stand_in(root_dir):
    installed = run(
        root_dir,
        "sys.modules['mmcv'] = None  # to Python: there is no such module",
        'import fastvit_dense',
        "'mmcv._ext' in sys.modules",
    )
    assert installed is False


@needs_stand_in
def test_modules_imported_too_early_get_the_operators(root_dir):
    """mmcv's and mmseg's modules do without what they cannot import, for good; we mend that."""
    missing, mended = run(
        root_dir,
        'import mmcv.cnn.bricks.transformer as early',
        "name = 'MultiScaleDeformableAttention'",
        'missing = not hasattr(early, name)',
        'import fastvit_dense, mmcv.ops',
        '[missing, getattr(early, name) is getattr(mmcv.ops, name)]',
    )
    assert missing
    assert mended


@needs_stand_in
def test_failed_import_can_be_repeated(root_dir):
    failed, imported = run(
        root_dir,
        'failed = False',
        'try:',
        '    import mmdet.models',
        'except ImportError:',
        '    failed = True',
        'import fastvit_dense',
        'import mmdet.models, mmseg.models',
        "[failed, 'mmdet.models' in sys.modules and 'mmseg.models' in sys.modules]",
    )
    assert failed
    assert imported


@pytest.mark.parametrize('library', ['mmdet', 'mmseg'])
def test_plain_type_name_is_found_from_the_libraries(library):
    models = importlib.import_module(f'{library}.registry').MODELS
    assert models.get('FastViT') is fastvit_dense.FastViT


@pytest.mark.parametrize('bgr_to_rgb', [True, False])
def test_order_of_channels_of_every_preprocessor(bgr_to_rgb):
    from mmdet.models import DetDataPreprocessor
    from mmseg.models import SegDataPreProcessor

    for cls in (DetDataPreprocessor, SegDataPreProcessor):
        preprocessor = cls(mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=bgr_to_rgb)
        image = torch.arange(3).view(3, 1, 1).repeat(1, 4, 4)
        batch = preprocessor({'inputs': [image], 'data_samples': None})
        assert batch['inputs'][0, :, 0, 0].tolist() == ([2, 1, 0] if bgr_to_rgb else [0, 1, 2])
        assert openmmlab.swaps_channels(preprocessor) == bgr_to_rgb
