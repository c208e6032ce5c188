"""Downloads from a server on this machine that breaks off, lies about sizes and forgets files."""

import dataclasses
import hashlib
import http.server
import re
import socket
import threading
from collections import deque
from pathlib import Path

import pytest
import torch

from fastvit_dense.backbones import FastViT
from fastvit_dense.checkpoints import download
from fastvit_dense.checkpoints.pretrained import load_pretrained
from fastvit_dense.checkpoints.published import PUBLISHED
from fastvit_dense.errors import CheckpointError
from tests.facts import assert_names, raises_naming

CONTENT = bytes(range(256)) * 4000  # about 1 MB


class Server:
    """Serves `files`; what it should do wrong next stands in `faults`."""

    def __init__(self):
        self.files = {}
        self.requests = []  # (path, Range header)
        self.faults = deque()
        self.etag = '"1"'
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.httpd = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()
        self.url = f'http://127.0.0.1:{self.httpd.server_port}'

    def answer(self, request):
        path = request.path.partition('?')[0]
        given = request.headers.get('Range')
        self.requests.append((path, given))
        fault = self.faults.popleft() if self.faults else None
        if path not in self.files:
            return request.send_error(404)
        content = self.files[path]
        start = 0
        if given and request.headers.get('If-Range', self.etag) == self.etag:
            start = int(re.fullmatch(r'bytes=(\d+)-', given)[1])
        if start >= len(content):
            request.send_response(416)
            request.send_header('Content-Range', f'bytes */{len(content)}')
            request.send_header('Content-Length', '0')
            return request.end_headers()
        body = content[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
        request.send_header('Content-Length', str(len(body)))
        if self.etag:
            request.send_header('ETag', self.etag)
        request.end_headers()
        request.wfile.write(body[: len(body) // 2] if fault == 'breaks off' else body)


@pytest.fixture
def server(monkeypatch, tmp_path):
    for name in ('http_proxy', 'https_proxy', 'all_proxy'):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv('FASTVIT_DENSE_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr(download.time, 'sleep', lambda seconds: None)
    server = Server()
    yield server
    server.httpd.shutdown()
    server.httpd.server_close()


def test_second_use_needs_no_network(server, capfd):
    server.files['/a/x.pth'] = CONTENT
    path = download.fetch(f'{server.url}/a/x.pth')
    assert path.read_bytes() == CONTENT
    assert path == download.cache_path(f'{server.url}/a/x.pth')
    assert path.name == 'x.pth'
    assert re.search(r'x\.pth: 100%.*1\.02M/1\.02M', capfd.readouterr().err)
    assert download.fetch(f'{server.url}/a/x.pth') == path
    assert server.requests == [('/a/x.pth', None)]
    assert not list(path.parent.glob('*.part*'))


def test_names_from_two_places_do_not_meet(server):
    server.files |= {'/a/x.pth': b'one', '/b/x.pth': b'two'}
    assert download.fetch(f'{server.url}/a/x.pth').read_bytes() == b'one'
    assert download.fetch(f'{server.url}/b/x.pth').read_bytes() == b'two'
    queries = {download.cache_path(f'https://h/x.pth{q}') for q in ('', '?v=1', '?v=2')}
    assert len(queries) == 3


def test_path_of_an_address_stays_in_the_cache(server, tmp_path):
    path = download.cache_path('http://host:80/../../etc/x.pth')
    assert path == tmp_path / 'cache/host_80/etc/x.pth'
    with raises_naming(CheckpointError, 'http://host/', 'no file'):
        download.cache_path('http://host/')


def test_goes_on_where_the_connection_broke(server):
    server.files['/x.pth'] = CONTENT
    server.faults.extend(['breaks off', 'breaks off'])
    assert download.fetch(f'{server.url}/x.pth').read_bytes() == CONTENT
    half, three_quarters = len(CONTENT) // 2, len(CONTENT) * 3 // 4
    assert [given for _, given in server.requests] == [
        None,
        f'bytes={half}-',
        f'bytes={three_quarters}-',
    ]


def test_a_later_call_goes_on(server):
    server.files['/x.pth'] = CONTENT
    server.faults.extend(['breaks off'] * download.ATTEMPTS)
    have = len(CONTENT) * 15 // 16
    with raises_naming(CheckpointError, f'{server.url}/x.pth', have, len(CONTENT), 'kept'):
        download.fetch(f'{server.url}/x.pth')
    assert download.fetch(f'{server.url}/x.pth').read_bytes() == CONTENT
    assert server.requests[-1] == ('/x.pth', f'bytes={have}-')


@pytest.mark.parametrize('etag', ['"1"', ''])
def test_without_or_with_a_new_version_meanwhile(server, etag):
    """With an ETag a file that changed comes whole; without one, its size decides."""
    server.files['/x.pth'] = CONTENT
    server.etag = etag
    server.faults.extend(['breaks off'] * download.ATTEMPTS)
    with pytest.raises(CheckpointError):
        download.fetch(f'{server.url}/x.pth')
    if etag:
        server.files['/x.pth'], server.etag = CONTENT[::-1], '"2"'
    assert download.fetch(f'{server.url}/x.pth').read_bytes() == server.files['/x.pth']


def test_part_that_is_complete_or_too_long(server):
    server.files['/x.pth'] = CONTENT
    part = download.cache_path(f'{server.url}/x.pth')
    part = part.with_name('x.pth.part')
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)
    assert download.fetch(f'{server.url}/x.pth').read_bytes() == CONTENT
    part.with_name('x.pth').unlink()
    part.write_bytes(CONTENT + b'more')
    assert download.fetch(f'{server.url}/x.pth').read_bytes() == CONTENT


def test_absent_file(server):
    url = f'{server.url}/x.pth'
    with raises_naming(CheckpointError, url, 404, 'put it at', download.cache_path(url)):
        download.fetch(url)
    assert len(server.requests) == 1


def test_no_network_says_what_and_where(server, monkeypatch):
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        url = f'http://127.0.0.1:{unused.getsockname()[1]}'
    file = download.PUBLISHED['apple/fastvit_t8']
    moved = dataclasses.replace(file, addresses=(f'{url}/fastvit_t8.pth.tar',))
    monkeypatch.setitem(download.PUBLISHED, 'apple/fastvit_t8', moved)
    with pytest.raises(CheckpointError) as info:
        load_pretrained(FastViT('t8'), 'apple/fastvit_t8')
    place = download.cache_path(f'{url}/fastvit_t8.pth.tar')
    assert_names(info.value, f'{url}/fastvit_t8.pth.tar', 'no connection', place)
    assert str(info.value).splitlines()[-1].strip() == str(place)

    model = FastViT('t8')
    torch.save(model.state_dict(), place)  # the advice works
    assert load_pretrained(FastViT('t8'), 'apple/fastvit_t8').file == str(place)


def test_published_names(monkeypatch):
    monkeypatch.setattr(download, 'fetch', lambda url, sha256: url)
    assert download.resolve('apple_dist/fastvit_sa24') == (
        'https://docs-assets.developer.apple.com/ml-research/models/fastvit/'
        'image_classification_distilled_models/fastvit_sa24.pth.tar'
    )
    assert download.resolve('apple/fastvit_ma36_reparam').endswith(
        'image_classification_models/fastvit_ma36_reparam.pth.tar'
    )


def test_names_of_timm(monkeypatch):
    """What timm calls its files, and how its users write it."""
    monkeypatch.setattr(download, 'fetch', lambda url, sha256: url)
    address = 'https://huggingface.co/timm/fastvit_t8.apple_in1k/resolve/main/model.safetensors'
    for name in (
        'timm/fastvit_t8.apple_in1k',
        'hf-hub:timm/fastvit_t8.apple_in1k',
        'hf_hub:timm/fastvit_t8.apple_in1k',
        'https://huggingface.co/timm/fastvit_t8.apple_in1k',
        'fastvit_t8.apple_in1k',
    ):
        assert download.resolve(name) == address


def test_names_that_are_nearly_right(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with raises_naming(CheckpointError, 'timm/fastvit_t9.apple_in1k', 't8', '.apple_in1k'):
        download.resolve('timm/fastvit_t9.apple_in1k')
    with raises_naming(CheckpointError, 'apple/mobilevit-smal', 'apple/mobilevit-small'):
        download.resolve('apple/mobilevit-smal')
    with raises_naming(CheckpointError, 'timm/fastvit_t8', '.apple_in1k'):
        download.resolve('timm/fastvit_t8')
    with raises_naming(CheckpointError, 'org/model', 'hf download org/model'):
        download.resolve('org/model')
    assert download.resolve('work_dirs/x/epoch_1.pth') == Path('work_dirs/x/epoch_1.pth')


def published(monkeypatch, **changes):
    """Give `apple/mobilevit-small` other addresses and what else of it changes."""
    file = dataclasses.replace(download.PUBLISHED['apple/mobilevit-small'], **changes)
    monkeypatch.setitem(download.PUBLISHED, file.name, file)


def test_first_address_that_exists(server, monkeypatch, capsys):
    """A hub's repository whose file has one of two names; its licence is told once, before."""
    addresses = tuple(f'{server.url}/r/{n}' for n in ('model.safetensors', 'pytorch_model.bin'))
    published(monkeypatch, addresses=addresses, licence='apple-amlr')
    with raises_naming(CheckpointError, addresses[1], 404):
        download.resolve('apple/mobilevit-small')
    server.files['/r/pytorch_model.bin'] = CONTENT
    capsys.readouterr()
    path = download.resolve('hf-hub:apple/mobilevit-small')
    assert path.read_bytes() == CONTENT
    (line,) = (text for text in capsys.readouterr().err.splitlines() if 'licence' in text)
    assert_names(line, 'apple/mobilevit-small', 'apple-amlr', 'research only')
    server.requests.clear()
    assert download.resolve('https://huggingface.co/apple/mobilevit-small/tree/main') == path
    assert not server.requests
    assert 'licence' not in capsys.readouterr().err


def test_hash_of_the_table_is_checked(server, monkeypatch):
    addresses = (f'{server.url}/x.pth',)
    server.files['/x.pth'] = CONTENT
    published(monkeypatch, addresses=addresses, sha256='0' * 64)
    digest = hashlib.sha256(CONTENT).hexdigest()
    with raises_naming(CheckpointError, addresses[0], digest[:8], '0' * 64):
        download.resolve('apple/mobilevit-small')
    published(monkeypatch, addresses=addresses, sha256=digest)
    assert download.resolve('apple/mobilevit-small').read_bytes() == CONTENT


def test_web_page_in_the_place_of_a_file_is_not_kept(server):
    """A network that asks to sign in answers every address, with status 200."""
    url = f'{server.url}/x.pth'
    server.files['/x.pth'] = b'<!DOCTYPE html><html>Sign in</html>'
    with raises_naming(CheckpointError, url, 'web page'):
        download.fetch(url)
    server.files['/x.pth'] = CONTENT
    assert download.fetch(url).read_bytes() == CONTENT


def test_file_whose_address_is_not_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = dataclasses.replace(PUBLISHED['fastvlm/fastvithd'], addresses=())
    with raises_naming(CheckpointError, 'fastvlm/fastvithd', 'address is not known', 'path'):
        download.fetch_published(file)


def test_hash_in_the_name_is_checked(server):
    digest = hashlib.sha256(CONTENT).hexdigest()
    good, bad, date = f'/x-{digest[:8]}.pth', '/x-0123abcd.pth', '/x-20230815.pth'
    server.files |= dict.fromkeys((good, bad, date), CONTENT)
    download.fetch(server.url + good)
    download.fetch(server.url + date)
    with raises_naming(CheckpointError, server.url + bad, digest[:8], '0123abcd'):
        download.fetch(server.url + bad)
    assert not list(download.cache_path(server.url + bad).parent.glob('x-0123abcd.pth.part'))


def test_processes_that_want_the_same_file_download_it_once(server):
    server.files['/x.pth'] = CONTENT
    threads = [
        threading.Thread(target=download.fetch, args=[f'{server.url}/x.pth']) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1


def test_folder_that_cannot_be_written(server, monkeypatch, tmp_path):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('FASTVIT_DENSE_CACHE', str(tmp_path / 'file'))
    with raises_naming(
        CheckpointError, f'{server.url}/x.pth', 'Not a directory', tmp_path / 'file'
    ):
        download.fetch(f'{server.url}/x.pth')


def test_default_folder_is_torch_hubs(monkeypatch, tmp_path):
    monkeypatch.delenv('FASTVIT_DENSE_CACHE', raising=False)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    assert download.cache_dir() == tmp_path / 'fastvit_dense'
