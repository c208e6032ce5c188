"""The modules of docs/extending.md, as a user would have them in a folder of his own."""

import re
import sys

import pytest

BLOCK = re.compile(r'^```python\n# (\w+\.py)\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@pytest.fixture(scope='session')
def extensions(root_dir, tmp_path_factory):
    """Folder with every module and config of docs/extending.md, on the import path."""
    folder = tmp_path_factory.mktemp('extensions')
    blocks = BLOCK.findall((root_dir / 'docs/extending.md').read_text(encoding='utf-8'))
    assert len(blocks) >= 8
    for name, code in blocks:
        (folder / name).write_text(code, encoding='utf-8')
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture
def variant(extensions):
    """Write a config of docs/extending.md whose base is a tiny one; return its path."""

    def write(name, base):
        text = (extensions / name).read_text(encoding='utf-8')
        text, count = re.subn(r"_base_ = '\w+\.py'", f"_base_ = '{base}'", text)
        assert count == 1
        path = extensions / f'tiny_{name}'
        path.write_text(text, encoding='utf-8')
        return path

    return write
