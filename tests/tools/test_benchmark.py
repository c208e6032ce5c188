"""The command line of the benchmarks: what it writes, and its answers to bad input."""

import json

import pytest


@pytest.mark.integration
def test_backbone_writes_table_json_and_picture(run_tool, tmp_path):
    out = tmp_path / 'new' / 'backbone.json'
    options = ['--sizes', 32, 48, '--rounds', 2, '--seconds', 1, '--threads', 1]
    options += ['--backends', 'eager', 'onnxruntime', '--forms', 'folded', '--device', 'cpu']
    done = run_tool('benchmark', 'backbone', 't8', *options, '--out', out)
    assert done.status == 0
    results = json.loads(out.read_text())
    assert [(row['label'], row['size']) for row in results['rows']] == [
        (f't8/folded/{backend}/fp32', size)
        for size in (32, 48)
        for backend in ('eager', 'onnxruntime')
    ]
    assert results['machine']['threads'] == 1
    assert results['peaks']['bytes_per_second'] > 1e8
    assert out.with_suffix('.md').read_text() in done.out
    assert out.with_suffix('.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['backbone', 'sa25', '--out', 'OUT'], "unknown model 'sa25'"),
        (['backbone', 't8', '--sizes', '0', '--out', 'OUT'], 'size is 0, expected 32 or more'),
        (['backbone', 't8', '--reference', 'x', '--out', 'OUT'], "reference is 'x', expected one"),
        (['backbone', 't8', '--threads', '0', '--out', 'OUT'], 'threads is 0'),
        (['repmixer', '--rounds', '0', '--out', 'OUT'], 'rounds is 0'),
        (['repmixer', '--out', 'README.md/a.json'], '--out README.md/a.json: cannot be written'),
        (['model', 'configs/nothing.py', '--out', 'OUT'], 'no such config file'),
        (['evaluation', '--out', 'results.txt'], 'expected a file name that ends in .json'),
    ],
)
def test_bad_input_is_one_line(run_tool, tmp_path, arguments, message):
    arguments = [str(tmp_path / 'a.json') if word == 'OUT' else word for word in arguments]
    done = run_tool('benchmark', *arguments)
    assert message in done.error
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / 'a.json').exists()


def test_choices_are_named(run_tool, tmp_path):
    done = run_tool('benchmark', 'backbone', '--backends', 'tensorrt', '--out', tmp_path / 'a.json')
    assert done.status == 2
    assert "invalid choice: 'tensorrt' (choose from" in done.err
