"""What `import fastvit_dense` changes in other libraries, each in a process of its own."""

import ast
import importlib
import json
import multiprocessing
import pickle
import pkgutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import mmengine.registry
import pytest

import fastvit_dense
from fastvit_dense import integration
from tests.facts import raises_naming

pytestmark = pytest.mark.integration
HEAVY = (
    *('scipy', 'matplotlib', 'cv2', 'mmdet', 'mmseg', 'mmcv', 'pycocotools', 'hotcoco'),
    *('torchvision', 'pytorch3d', 'onnx', 'skimage', 'jinja2', 'fastvit_dense.evaluation'),
)


@pytest.fixture
def fresh(root_dir):
    """`fresh(program)` is the JSON that a program prints last, in a fresh interpreter."""

    def run(program):
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', program],
            cwd=root_dir,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


# --- imports ----------------------------------------------------------------------------------


LOADED = """
import json, sys
{imports}
print(json.dumps(sorted(sys.modules)))
"""


def test_the_package_imports_no_library(fresh):
    loaded = fresh(LOADED.format(imports='import fastvit_dense'))
    libraries = {name.partition('.')[0] for name in loaded} - {'mmcv'}
    assert not libraries & {'torch', 'numpy', 'mmengine', *HEAVY}
    assert {name for name in loaded if name.startswith('mmcv')} <= {'mmcv._ext'}


def test_no_circle_through_the_registries(fresh):
    """Importing them asks for this module, which may be the first one that a program imports."""
    loaded = fresh(LOADED.format(imports='import fastvit_dense.compat.registries'))
    assert not {name.partition('.')[0] for name in loaded} & {'torch', 'mmengine', 'mmdet'}
    loaded = fresh(LOADED.format(imports='import fastvit_dense.config.types, mmengine.registry'))
    assert {'mmengine.registry', 'fastvit_dense.config.types'} <= set(loaded)


def test_the_backbone_imports_nothing_heavy(fresh):
    loaded = fresh(LOADED.format(imports='from fastvit_dense import FastViT'))
    assert 'mmengine.model' in loaded
    heavy = [name for name in loaded if f'{name}.'.startswith(tuple(f'{h}.' for h in HEAVY))]
    assert set(heavy) <= {'mmcv._ext'}


def test_public_names():
    names = {}
    exec('from fastvit_dense import *', names)
    assert names.keys() >= set(fastvit_dense.__all__)
    assert set(fastvit_dense.__all__) <= set(dir(fastvit_dense))
    assert pickle.loads(pickle.dumps(fastvit_dense.FastViT)) is fastvit_dense.FastViT
    assert fastvit_dense.evaluation.InstanceMetric.__name__ == 'InstanceMetric'
    with raises_naming(AttributeError, 'FastVit'):
        fastvit_dense.FastVit  # noqa: B018


def test_type_checkers_see_the_same_names():
    """The imports that only they read name the objects that are found at run time."""
    with open(fastvit_dense.__file__) as file:
        body = ast.parse(file.read()).body
    (block,) = [node for node in body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert {*seen, '__version__'} == set(fastvit_dense.__all__)
    for name, module in seen.items():
        found = getattr(importlib.import_module(f'fastvit_dense.{module}'), name)
        assert getattr(fastvit_dense, name) is found


# --- types ------------------------------------------------------------------------------------


def test_types_are_those_that_the_modules_register():
    for module in pkgutil.walk_packages(fastvit_dense.__path__, 'fastvit_dense.'):
        importlib.import_module(module.name)
    found = {}
    for name, registry in vars(mmengine.registry).items():
        if isinstance(registry, mmengine.registry.Registry):
            for kind, cls in registry.module_dict.items():
                if cls.__module__.startswith('fastvit_dense'):
                    found.setdefault(name, {})[kind] = cls.__module__
    assert found == {
        name: {kind: f'fastvit_dense.{module}' for kind, module in kinds.items()}
        for name, kinds in integration.TYPES.items()
    }


FOUND = """
import json, importlib
{before}
import mmengine.registry
from mmengine.registry import DefaultScope
from fastvit_dense.integration import TYPES

found = {{}}
for scope in ('mmdet', 'mmseg'):
    with DefaultScope.overwrite_default_scope(scope):
        for library in (scope, 'mmengine'):
            registries = importlib.import_module(library + '.registry')
            for name, kinds in TYPES.items():
                registry = getattr(registries, name, getattr(mmengine.registry, name))
                for kind in kinds:
                    with registry.switch_scope_and_registry(scope) as current:
                        found[f'{{scope}} {{library}} {{kind}}'] = current.get(kind) is not None
        model = registries.MODELS.build(dict(type='FastViT', arch='t8'))
        found[f'{{scope}} built'] = type(model).__name__ == 'FastViT'
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    'before',
    [pytest.param('from fastvit_dense import FastViT', marks=pytest.mark.slow), 'CONFIG'],
)
def test_types_are_found_in_every_scope(fresh, tmp_path, before):
    """After the backbone alone was imported, and by a config's `custom_imports` alone."""
    if before == 'CONFIG':
        path = tmp_path / 'config.py'
        path.write_text("custom_imports = dict(imports=['fastvit_dense'])")
        before = f'from mmengine.config import Config; Config.fromfile({str(path)!r})'
    found = fresh(FOUND.format(before=before))
    kinds = sum(map(len, integration.TYPES.values()))
    assert len(found) == 2 * (2 * kinds + 1)
    assert [name for name, is_found in found.items() if not is_found] == []


def is_registered(cls):
    """Whether this process knows a class by its name."""
    return mmengine.registry.MODELS.get(cls.__name__) is cls


def test_a_spawned_process_has_it_by_a_pickle():
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, mp_context=context) as processes:
        assert processes.submit(is_registered, fastvit_dense.FastViT).result(timeout=300)


# --- checkpoints ------------------------------------------------------------------------------


READ = """
import json, pickle, sys
{imports}

class Evil:
    def __reduce__(self):
        return exec, ('import sys; sys.was_run = True',)

path = {path!r}
with open(path, 'wb') as file:
    pickle.dump({{'state_dict': Evil()}}, file)

from mmengine.runner import load_checkpoint
from torch import nn

try:
    load_checkpoint(nn.Linear(1, 1), path)
    error = None
except Exception as raised:
    error = type(raised)
print(json.dumps([f'{{error.__module__}}.{{error.__name__}}', hasattr(sys, 'was_run')]))
"""


@pytest.mark.parametrize(
    'imports',
    [
        'import mmengine.runner; import fastvit_dense',
        pytest.param('import fastvit_dense; import mmengine.runner', marks=pytest.mark.slow),
        pytest.param('from fastvit_dense import FastViT', marks=pytest.mark.slow),
    ],
)
def test_no_checkpoint_runs_code_whatever_is_imported_first(fresh, tmp_path, imports):
    error, was_run = fresh(READ.format(imports=imports, path=str(tmp_path / 'evil.pth')))
    assert error == 'fastvit_dense.errors.CheckpointError'
    assert not was_run


# --- where it is installed -----------------------------------------------------------------------


def test_install_again_changes_nothing():
    before = list(sys.meta_path), dict(sys.modules)
    registries = [getattr(mmengine.registry, name) for name in integration.TYPES]
    types = [registry.module_dict for registry in registries]
    integration.install()
    assert (sys.meta_path, sys.modules) == before
    assert all(r.module_dict is t for r, t in zip(registries, types, strict=True))


BROKEN = """
import json, runpy, sys

sys.modules['mmengine'] = None  # to Python: there is no such module
sys.argv = ['anything']
import fastvit_dense
try:
    from fastvit_dense import FastViT
except ImportError as error:
    explained = str(error)
try:
    runpy.run_module('fastvit_dense', run_name='__main__', alter_sys=False)
except SystemExit as end:
    status = end.code
print(json.dumps([explained, status]))
"""


def test_without_mmengine_the_report_still_tells(root_dir):
    done = subprocess.run(
        [sys.executable, '-c', BROKEN], cwd=root_dir, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    explained, status = json.loads(done.stdout.splitlines()[-1])
    assert 'there is no mmengine to import' in explained
    assert 'pip install ' in explained
    assert status == 1
    assert 'there is no mmengine to import' in done.stdout.partition('WRONG')[2]
    assert 'Traceback' not in done.stderr
