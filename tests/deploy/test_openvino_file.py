"""OpenVINO files are read with the weights beside them, and damage is named."""

import pytest

from fastvit_dense.deploy.runtime import ExportedNetwork
from fastvit_dense.errors import ExportError
from tests.facts import raises_naming

pytest.importorskip('openvino', reason='extra [deploy] is not installed')
pytestmark = pytest.mark.integration


def test_bad_files(files, tmp_path):
    source = files('hand', 'openvino')
    with raises_naming(ExportError, tmp_path / 'none.xml', 'no such file'):
        ExportedNetwork(tmp_path / 'none.xml')
    path = tmp_path / 'bad.xml'
    path.write_bytes(source.read_bytes())
    with raises_naming(ExportError, path, 'bad.bin', 'not beside it'):
        ExportedNetwork(path)
    weights = source.with_suffix('.bin').read_bytes()
    path.with_suffix('.bin').write_bytes(weights[: len(weights) // 2])
    with raises_naming(ExportError, path, 'damaged'):
        ExportedNetwork(path)
    path.with_suffix('.bin').write_bytes(weights)
    path.write_text(source.read_text()[:5000])
    with raises_naming(ExportError, path, 'damaged'):
        ExportedNetwork(path)
    path.write_text(source.read_text().replace('fastvit_dense_export', 'other'))
    with raises_naming(ExportError, path, 'metadata task', 'fastvit-dense export'):
        ExportedNetwork(path)
