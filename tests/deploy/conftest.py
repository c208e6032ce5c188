"""Tests of deployment need the extra [deploy]; files that several of them read."""

import importlib.util

import pytest

NEEDED = ('onnx', 'onnxruntime')
collect_ignore_glob = [] if all(map(importlib.util.find_spec, NEEDED)) else ['test_*.py']


@pytest.fixture(scope='session')
def checkpoint(request):
    """`checkpoint(task)`: the weights that a task's file is made of."""
    names = {'instance': 'trained', 'semantic': 'trained_semantic', 'hand': 'random_hand'}
    return lambda task: request.getfixturevalue(names[task])


@pytest.fixture(scope='session')
def files(tmp_path_factory, checkpoint, request):
    """`files(task, format)`: the exported file, made on first use; its check passed."""
    from fastvit_dense.deploy.export import export
    from fastvit_dense.deploy.formats import find_format

    made = {}

    def get(task, kind):
        if (task, kind) not in made:
            if kind == 'openvino':
                pytest.importorskip('openvino')
            config = request.getfixturevalue(f'tiny_{task}')
            path = tmp_path_factory.mktemp(task) / f'model{find_format(kind).suffix}'
            assert export(config, checkpoint(task), kind, path) == 0
            made[task, kind] = path
        return made[task, kind]

    return get
