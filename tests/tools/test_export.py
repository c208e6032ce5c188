"""`tools/export.py`: what it writes and prints, and one readable line for each bad input."""

import re

import pytest

pytest.importorskip('onnxruntime', reason='extra [deploy] is not installed')
pytestmark = [pytest.mark.integration, pytest.mark.usefixtures('quick_logs')]


def test_export_then_predict(run_tool, tiny_hand, random_hand, hand_tree, tmp_path):
    path = tmp_path / 'hand.onnx'
    done = run_tool('export', tiny_hand, random_hand, '--format', 'onnx', '--out', path)
    assert done.status == 0, done.err
    assert 'init_weights' not in done.out
    assert re.search(r'^ok +random 224x224, vertices: \S+ \(<= 0\.0001\)$', done.out, re.MULTILINE)
    assert f'{path}: written' in done.out
    pictures = hand_tree / 'evaluation/rgb'
    done = run_tool('predict', tiny_hand, path, pictures, '--out-dir', tmp_path / 'out')
    assert done.status == 0, done.err
    names = {f'{p.stem}.{kind}' for p in pictures.iterdir() for kind in ('png', 'json', 'obj')}
    assert {p.name for p in (tmp_path / 'out').iterdir()} == names


def test_bad_input_is_one_line(
    run_tool, tiny_hand, random_hand, tiny_semantic, hand_tree, tmp_path
):
    onnx = ('--format', 'onnx', '--out', tmp_path / 'x.onnx')
    assert 'CheckpointMismatch' in run_tool('export', tiny_semantic, random_hand, *onnx).error
    none = tmp_path / 'none.pth'
    assert 'none.pth: there is no such file' in run_tool('export', tiny_hand, none, *onnx).error
    done = run_tool('export', tiny_hand, random_hand, '--format', 'onnx', '--out', 'x.xml')
    assert done.error == 'ExportError: --out x.xml: expected a name that ends in .onnx for onnx\n'
    (tmp_path / 'bad.onnx').write_bytes(b'no ONNX')
    for tool in ('test', 'predict'):
        extra = [] if tool == 'test' else [hand_tree / 'evaluation/rgb']
        done = run_tool(tool, tiny_hand, tmp_path / 'bad.onnx', *extra)
        assert re.search(r'ExportError: \S+bad\.onnx: truncated, damaged or no ONNX', done.error)
    assert not (tmp_path / 'x.onnx').exists()
