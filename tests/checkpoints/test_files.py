"""Files appear whole or not at all."""

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastvit_dense.checkpoints import files
from fastvit_dense.checkpoints.files import read_json, replacing, write_files
from fastvit_dense.limits import JSON_BYTES


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / 'new' / 'a.png'
    with replacing(path) as part:
        assert part.suffix == '.png'
        part.write_text('half')
        assert not path.exists()
        part.write_text('whole')
    assert path.read_text() == 'whole'
    assert [file.name for file in path.parent.iterdir()] == ['a.png']


@pytest.mark.parametrize('stop', [KeyboardInterrupt, OSError('disk full')])
def test_an_interruption_leaves_what_stood_there(tmp_path, stop):
    path = tmp_path / 'a.txt'
    path.write_text('former')

    def interrupted():
        with replacing(path) as part:
            part.write_text('half')
            raise stop

    with pytest.raises((KeyboardInterrupt, OSError)) as caught:
        interrupted()
    assert isinstance(caught.value, stop if isinstance(stop, type) else type(stop))
    assert [file.name for file in tmp_path.iterdir()] == ['a.txt']
    assert path.read_text() == 'former'


def test_a_killed_process_leaves_what_stood_there(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('former')
    program = (
        'import os, signal, sys; sys.path.insert(0, sys.argv[1]); from files import replacing\n'
        'with replacing(sys.argv[2]) as part:\n'
        '    part.write_text("half")\n'
        '    os.kill(os.getpid(), signal.SIGKILL)\n'
    )
    arguments = (Path(files.__file__).parent, path)
    done = subprocess.run([sys.executable, '-c', program, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == 'former'


def test_the_longest_names_can_be_written(tmp_path):
    name = 'ä' * 125 + '.txt'
    assert len(os.fsencode(name)) == 254
    with replacing(tmp_path / name) as part:
        part.write_text('x')
    assert (tmp_path / name).read_text() == 'x'


def test_several_files_come_into_place_together(tmp_path, monkeypatch):
    order = []
    replace = os.replace

    def recorded(part, path):
        order.append((path.name, len(list(tmp_path.glob('.*')))))
        replace(part, path)

    monkeypatch.setattr(os, 'replace', recorded)
    write_files(tmp_path, {'a.json': '1', 'b.json': '2', 'c.md': 'ü\n'})
    assert order == [('a.json', 3), ('b.json', 2), ('c.md', 1)]
    assert (tmp_path / 'c.md').read_bytes() == 'ü\n'.encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.json', 'b.json', 'c.md']


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32'])
def test_json_of_any_encoding(tmp_path, encoding):
    (tmp_path / 'a.json').write_text(' {"ä": [1]}', encoding=encoding)
    assert read_json(tmp_path / 'a.json', 100) == {'ä': [1]}


@pytest.mark.parametrize(
    ('content', 'facts'),
    [
        (b'', 'an empty file'),
        (b'{"a": ', 'broken or truncated'),
        (b'{"a": 1}\n{"a": 2}\n', 'JSON lines'),
        (gzip.compress(b'[]', mtime=0), 'gzip archive; unpack it'),
        (b'[' * 100_000, 'nested too deep'),
        (b'\x80', 'broken or truncated'),
        (b'{"a": 1' + b'0' * 5000 + b'}', 'broken or truncated'),
        (b'12345', 'a list or an object'),
    ],
)
def test_what_is_no_json(tmp_path, content, facts):
    (tmp_path / 'a.json').write_bytes(content)
    with pytest.raises(ValueError, match=facts):
        read_json(tmp_path / 'a.json', 10**6)


def test_size_and_kind_are_looked_at_before_reading(tmp_path):
    """A file of 10 TB, all but its first byte a hole, and a pipe that nobody writes."""
    with (tmp_path / 'a.json').open('wb') as file:
        file.write(b'[')
        file.truncate(10**13)
    with pytest.raises(ValueError, match='at most 8,589,934,592 bytes, found 10,000,000,000,000'):
        read_json(tmp_path / 'a.json', JSON_BYTES)
    with pytest.raises(ValueError, match='at most 100 bytes'):
        read_json(tmp_path / 'a.json', 100)
    os.mkfifo(tmp_path / 'b.json')
    with pytest.raises(ValueError, match='pipe'):
        read_json(tmp_path / 'b.json', 100)
    with pytest.raises(ValueError, match='folder'):
        read_json(tmp_path, 100)
