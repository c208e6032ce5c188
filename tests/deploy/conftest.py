"""Tests of deployment need the extra [deploy]; files that several of them read."""

import functools
import importlib.util

import pytest

NEEDED = ('onnx', 'onnxruntime')
collect_ignore_glob = [] if all(map(importlib.util.find_spec, NEEDED)) else ['test_*.py']
OPTIONS = {
    'fp32': {},
    'fp16': {'precision': 'fp16'},
    'int8': {'int8': True, 'calibration_images': 2},
    'int8 symmetric': {'int8': 'symmetric', 'calibration_images': 2},
}


@pytest.fixture(scope='session')
def checkpoint(request):
    """`checkpoint(task)`: the weights that a task's file is made of."""
    names = {'instance': 'trained', 'semantic': 'trained_semantic', 'hand': 'random_hand'}
    return lambda task: request.getfixturevalue(names[task])


@pytest.fixture(scope='session')
def files(made_once, checkpoint, request):
    """`files(task, format, precision)`: the exported file; its check passed."""
    from fastvit_dense.deploy.export import export
    from fastvit_dense.deploy.formats import find_format

    @functools.cache
    def get(task, kind, precision='fp32'):
        if kind == 'openvino':
            pytest.importorskip('openvino')
        name = f'model{find_format(kind).suffix}'

        def make(folder):
            given = request.getfixturevalue(f'tiny_{task}'), checkpoint(task), kind, folder / name
            assert export(*given, **OPTIONS[precision]) == 0

        return made_once(f'{task} {kind} {precision}', make) / name

    return get
