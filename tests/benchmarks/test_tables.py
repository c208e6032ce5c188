"""Tables and pictures of made-up results; where they are written."""

import json

import pytest
from PIL import Image

from benchmarks import figures, output
from benchmarks import tables as report
from benchmarks.machine import BenchmarkError
from tests.facts import raises_naming

MACHINE = {'device': 'cpu', 'cpu': 'A CPU', 'cores': 2, 'threads': 2, 'load': 0.0, 'torch': '2.11'}


def backbone_row(label, **values):
    model, form, backend, precision, *_ = label.split('/')
    row = dict(
        label=label,
        model=model,
        form=form,
        backend=backend,
        precision=precision,
        layout='contiguous',
        size=512,
        batch_size=1,
        parameters=3_144_000,
        macs=2_740_000_000,
        eager_bytes=1,
        error=2e-6,
        seconds=0.1234,
        quartiles=[0.12, 0.13],
        spread=0.081,
        rounds=[0.12, 0.1234, 0.13],
        images_per_second=8.104,
        times_faster=2.0,
        times_faster_quartiles=[1.9, 2.1],
        matrix_share=0.5,
        bandwidth_share=0.25,
        reason=None,
    )
    return row | values


def backbone_results():
    failed = dict.fromkeys(
        ('seconds', 'quartiles', 'spread', 'rounds', 'images_per_second', 'times_faster', 'error')
    )
    failed |= dict.fromkeys(('parameters', 'macs', 'matrix_share', 'bandwidth_share'))
    return {
        'machine': MACHINE,
        'peaks': {'bytes_per_second': 1.2e10, 'macs_per_second_fp32': 6.1e10},
        'reference': 't8/train/eager/fp32',
        'rows': [
            backbone_row('t8/folded/eager/fp32'),
            backbone_row('t8/folded/openvino/bf16', size=1024, bandwidth_share=None),
            backbone_row('peer/only/onnxruntime/bf16', reason='no | bf16', **failed),
        ],
    }


def cells(text, start):
    line = next(line for line in text.splitlines() if line.startswith(f'| {start}'))
    return [cell.strip() for cell in line.strip('|').split(' |')]


def test_backbone_table():
    text = report.backbone_table(backbone_results())
    assert cells(text, 'model')[:8] == (
        ['model', 'form', 'run by', 'size', 'batch', 'params M', 'GMACs', 'ms']
    )
    expected = ['t8', 'folded', 'eager/fp32', '512', '1', '3.14', '2.74', '123.4']
    expected += ['8%', '8.1', '2.00', '50%', '25%', '2e-06']
    assert cells(text, 't8') == expected
    assert cells(text, 'peer')[7] == 'failed'
    assert '- peer/only/onnxruntime/bf16 at 512: no | bf16' in text
    assert (
        'A CPU, cores: 2, threads: 2, PyTorch 2.11; measured peaks 12 GB/s, 61 GMAC/s fp32' in text
    )
    assert 'Random weights; medians of 3 rounds' in text


def test_numbers_of_rounds():
    rows = [{'rounds': [1.0] * count} for count in (5, 3, 20)]
    assert report.rounds_of({'rows': rows}) == '3-20'
    assert report.rounds_of({'rows': rows[:1]}) == '5'
    assert report.rounds_of({'rows': [{'rounds': None}]}) == '0'


def repmixer_results():
    item = dict(
        backend='eager',
        precision='fp32',
        layout='channels_last',
        batch_size=1,
        size=384,
        pooling_seconds=0.1,
        repmixer_seconds=0.08,
        saved=0.2,
        quartiles=[0.19, 0.21],
        paper=0.25,
        reason=None,
    )
    failed = dict.fromkeys(('pooling_seconds', 'repmixer_seconds', 'saved', 'quartiles', 'paper'))
    return {
        'machine': MACHINE,
        'rows': backbone_results()['rows'],
        'reductions': [
            item,
            item | dict(size=1024, saved=0.4, paper=0.437, quartiles=[0.4, 0.4]),
            item | failed | dict(backend='openvino', layout='contiguous', reason='not installed'),
        ],
    }


def test_repmixer_table():
    text = report.repmixer_table(repmixer_results())
    expected = ['eager/fp32/channels_last', '384', '100.0', '80.0', '20.0%']
    assert cells(text, 'eager') == [*expected, '19.0% to 21.0%', '25.0%']
    assert cells(text, 'openvino')[4] == 'failed'
    assert '- openvino/fp32 at 384: not installed' in text


def model_results():
    parts = dict(zip(('decode', 'resize', 'normalise'), (0.001, 0.002, 0.003), strict=True))
    parts |= {'network': 0.09, 'post-processing': 0.004, 'other': 0.0}
    row = dict(
        model='maskrcnn',
        form='train',
        picture='800x1333',
        input='800x1333',
        detections=100,
        seconds=0.1,
        spread=0.05,
        rounds=[0.1],
        times_faster=1.0,
        part_seconds=parts,
        post_share=0.04,
        reason=None,
        notes=['random weights'],
    )
    failed = dict.fromkeys(
        ('input', 'detections', 'seconds', 'spread', 'rounds', 'times_faster', 'part_seconds')
    )
    failed |= dict(form='model.xml bf16', post_share=None, reason='refused', notes=[])
    semantic = row | dict(model='semfpn', detections=None, seconds=10.0)
    return {'machine': MACHINE, 'parts': list(parts), 'rows': [row, row | failed, semantic]}


def test_model_table():
    text = report.model_table(model_results())
    expected = ['maskrcnn', 'train', '800x1333', '800x1333', '100.0', '5%', '1.00']
    expected += ['1.0', '2.0', '3.0', '90.0', '4.0', '0.0', '4.0%', '100']
    assert cells(text, 'maskrcnn') == expected
    assert '- maskrcnn: random weights' in text
    assert '- maskrcnn model.xml bf16: not measured: refused' in text
    assert cells(text, 'semfpn')[-1] == ''


@pytest.mark.parametrize(
    ('results', 'draw', 'texts'),
    [
        (
            backbone_results,
            figures.backbone_figure,
            ['512 x 512', '1024 x 1024', 't8/folded/openvino/bf16', ' not measured', '  123.4'],
        ),
        (
            repmixer_results,
            figures.repmixer_figure,
            [
                'iPhone 12 Pro (paper)',
                'pooling, eager/fp32/channels_last',
                'eager/fp32/channels_last',
            ],
        ),
        (
            model_results,
            figures.model_figure,
            ['maskrcnn', 'semfpn', '  100 ms', '  not measured', 'network'],
        ),
    ],
)
def test_pictures(results, draw, texts, tmp_path):
    from matplotlib.text import Text

    results = results()
    figure = draw(results)
    shown = {text.get_text() for text in figure.findobj(Text)}
    assert shown >= set(texts)
    output.write_benchmark(tmp_path / 'a.json', results, 'text', figure)
    assert json.loads((tmp_path / 'a.json').read_text()) == results
    assert (tmp_path / 'a.md').read_text() == 'text\n'
    with Image.open(tmp_path / 'a.png') as picture:
        assert min(picture.size) > 200
        assert len(picture.convert('RGB').getcolors(1 << 20)) > 10


def test_pictures_without_a_single_time():
    results = backbone_results()
    results['rows'] = results['rows'][-1:]
    (panel,) = figures.backbone_figure(results).axes
    assert [text.get_text().strip() for text in panel.texts] == ['not measured']
    results = repmixer_results()
    results['reductions'] = results['reductions'][-1:]
    times, _ = figures.repmixer_figure(results).axes
    assert not times.has_data()


def test_where_results_go(tmp_path):
    new = tmp_path / 'new' / 'folder' / 'a.json'
    output.check_out(new)
    assert new.parent.is_dir()
    assert not new.exists()
    (tmp_path / 'file').write_text('')
    (tmp_path / 'folder.json').mkdir()
    for path, problem in (
        (tmp_path / 'a.txt', 'ends in .json'),
        (tmp_path / 'file' / 'a.json', 'cannot be written'),
        (tmp_path / 'folder.json', 'cannot be written'),
    ):
        with raises_naming(BenchmarkError, '--out', path, problem):
            output.check_out(path)
