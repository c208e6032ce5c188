"""The generated pages: current, and saying of the code what others that read it say."""

import inspect

import pytest

import fastvit_dense
from docs.generate import api, architecture, checks, model_zoo
from docs.generate.code import PACKAGE, read_arrows, read_layers, read_modules


@pytest.mark.parametrize(
    'page',
    [architecture, api, checks, model_zoo],
    ids=['architecture', 'api', 'data_checks', 'model_zoo'],
)
def test_committed_page_is_that_of_the_code(page):
    assert page.PATH.read_text(encoding='utf-8') == page.render(), 'run `make docs`'


def test_arrows_are_those_of_import_linter():
    """grimp, which import-linter stands on, finds imports in its own way."""
    grimp = pytest.importorskip('grimp')
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    rooms = [room for layer in read_layers() for room in layer]
    expected = {
        (_room(module), _room(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    found = set(read_arrows(read_modules(), rooms))
    assert found == {(a, b) for a, b in expected if a and b and a != b}


def _room(module):
    return module.split('.')[1] if '.' in module else ''


def test_every_room_is_explained(root_dir):
    """One row of the table each, in the order of the layers."""
    text = (root_dir / 'docs/architecture.md').read_text()
    table = text[text.index('| room |') : text.index('Outside the package')]
    rows = [line.split('|')[1] for line in table.splitlines()[2:] if line.startswith('|')]
    named = [name.strip(' `') for row in rows for name in row.split(',')]
    places = {room: i for i, layer in enumerate(read_layers()) for room in layer}
    assert set(named) == places.keys() - {'__main__'}
    assert [places[name] for name in named] == sorted(places[name] for name in named)


@pytest.mark.parametrize('name', ['FastViT', 'load_model', 'load_pretrained', 'reparameterize'])
def test_signatures_are_those_of_the_objects(name):
    parameters = inspect.signature(getattr(fastvit_dense, name)).parameters
    page = api.PATH.read_text(encoding='utf-8')
    shown = page.split(f'\n### {PACKAGE}.{name}\n')[1].split('```')[1]
    for parameter in parameters.values():
        assert f'{parameter.name}: ' in shown
        if parameter.default is not inspect.Parameter.empty:
            assert f' = {parameter.default!r}' in shown


def test_every_public_name_is_there():
    page = api.PATH.read_text(encoding='utf-8')
    for package in ('', '.hand', '.evaluation', '.engine', '.inference'):
        module = __import__(f'{PACKAGE}{package}', fromlist=['__all__'])
        for name in set(module.__all__) - {'__version__'}:
            assert f'.{name}\n' in page


def test_configs_of_the_model_zoo_are_read_as_mmengine_reads_them(root_dir):
    """Backbone and variant, inherited ones too."""
    from fastvit_dense.tasks.config import load_config

    for name in ('maskrcnn_fastvit_t8', 'semfpn_mobileclip2_s2', 'handmesh_fastvit_sa12'):
        backbone = load_config(name, pretrained=False).model.backbone
        found = model_zoo.backbone_of(root_dir / f'configs/{name}.py')
        assert found == (backbone.type, backbone.arch)


def test_times_of_the_model_zoo():
    """Medians over the rounds of all parts; what failed has none."""
    row = dict(model='t8', backend='openvino', precision='fp32', parameters=3e6, macs=2e9)
    rows = [row | dict(rounds=[0.0123, 0.0122]), row | dict(model='sa12', rounds=None)]
    whole = dict(model='semfpn_fastvit_t8', detections=None, input='512x512')
    models = [whole | dict(form='folded', seconds=0.2), whole | dict(form='x', seconds=None)]
    size = dict(config='semfpn_fastvit_t8', parameters=7331430, macs=24.04e9, size=[512, 512])
    parts = {'a': rows, 'b': [row | dict(rounds=[0.5])], 'c': models, 'sizes': [size]}
    results = {'parts': {name: {'rows': rows} for name, rows in parts.items()}}
    times = model_zoo.read_latencies(results)
    assert times == {'openvino fp32': {'t8': pytest.approx(12.3)}}
    text = model_zoo.config_table(times, model_zoo.whole_models(results))
    (line,) = (x for x in text.splitlines() if '| semfpn_fastvit_t8 ' in x.replace('\\', ''))
    for cell in ('12.3', '7.33', '24.0', '512x512', '3.17'):
        assert f' {cell} ' in line
    assert '| FastViT t8 ' in model_zoo.light_table(results)
    assert ' 200 |' in model_zoo.model_table(results)
    slow = {'openvino fp32': {'sa12': 100.0, 'repvit_m1_1': 62.0}}
    assert 'RepViT-M1.1 0.62 of FastViT-SA12 (39.8 / 40.6 against 38.9 / 38.0)' in (
        model_zoo.measured_verdict(slow)
    )
