"""The description of a file: what is read is what was written, and damage is named."""

from fastvit_dense.deploy.description import Description
from fastvit_dense.errors import ExportError
from tests.facts import raises_naming


def test_description_survives():
    one = Description('hand', 'model', 'a.py', ['x', 'ü'], [8, 8], True, [1.0], [2.0], macs=7)
    assert Description.from_strings(one.to_strings(), 'file') == one
    strings = one.to_strings()
    with raises_naming(ExportError, 'file', 'metadata classes'):
        Description.from_strings({**strings, 'classes': '["x"'}, 'file')
    for name, kind, text in (
        ('classes', 'list[str]', '5'),
        ('macs', 'int', '"7"'),
        ('dynamic_size', 'bool', 'null'),
    ):
        with raises_naming(ExportError, 'file', f'metadata {name}', kind, text):
            Description.from_strings({**strings, name: text}, 'file')
    assert Description.from_strings({**strings, 'macs': 'null'}, 'file').macs is None
    del strings['mean']
    with raises_naming(ExportError, 'file', 'metadata mean', 'fastvit-dense export'):
        Description.from_strings(strings, 'file')
