"""Pictures from a server on this machine that redirects, breaks off, lies and does not answer."""

import http.server
import threading
import time
from pathlib import PurePosixPath

import pytest

from fastvit_dense.errors import ImageError
from fastvit_dense.inference import addresses
from fastvit_dense.inference.addresses import address_path, download
from tests.facts import raises_naming


class Handler(http.server.BaseHTTPRequestHandler):
    """What is at a path is what its name says."""

    def do_GET(self):
        name = self.path.strip('/').partition('?')[0]
        if name in REDIRECTS:
            self.send_response(302)
            self.send_header('Location', REDIRECTS[name])
            return self.end_headers()
        if name == 'silent':
            return time.sleep(3)
        if name == 'none':
            return self.send_error(404)
        self.send_response(200)
        size = {'large': 2**40, 'cut': 5000}.get(name)
        if size:
            self.send_header('Content-Length', str(size))
        self.end_headers()
        try:
            for _ in range(20 if name in ('endless', 'slow') else 1):
                self.wfile.write(b'x' * 1000)
                if name == 'slow':
                    time.sleep(0.1)
        except OSError:
            pass

    def log_message(self, *_):
        pass


REDIRECTS = {
    'file': 'file:///etc/passwd',
    'ftp': 'ftp://127.0.0.1/x',
    'loop': '/loop',
    'moved': '/fine',
}


@pytest.fixture(scope='module')
def server():
    with (
        pytest.MonkeyPatch.context() as patch,
        http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as running,
    ):
        patch.setenv('no_proxy', '127.0.0.1')
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{running.server_port}'
        running.shutdown()


def test_what_is_there(server):
    assert download(f'{server}/fine') == download(f'{server}/moved') == b'x' * 1000


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('none', ['404']),
        ('file', ['cannot be had', 'file']),
        ('ftp', ['cannot be had', 'ftp']),
        ('loop', ['cannot be had', 'redirect']),
        ('large', ['268,435,456', '1,099,511,627,776']),
        ('cut', ['broke off', '1,000 of 5,000']),
    ],
)
def test_what_is_not(server, name, words):
    with raises_naming(ImageError, f'{server}/{name}', *words):
        download(f'{server}/{name}')


def test_limits(server, monkeypatch):
    monkeypatch.setattr(addresses, 'DOWNLOADED_BYTES', 5000)
    with raises_naming(ImageError, f'{server}/endless', '5,000 bytes'):
        download(f'{server}/endless')
    monkeypatch.setattr(addresses, 'DOWNLOADED_BYTES', 10**6)
    monkeypatch.setattr(addresses, 'LONGEST', 0.3)
    with raises_naming(ImageError, f'{server}/slow', 'in 0.3 seconds'):
        download(f'{server}/slow')
    monkeypatch.setattr(addresses, 'SILENCE', 0.2)
    with raises_naming(ImageError, f'{server}/silent', 'timed out'):
        download(f'{server}/silent')


@pytest.mark.parametrize(
    ('address', 'path'),
    [
        ('https://a.org/x/y.jpg', 'a.org/x/y.jpg'),
        ('http://me:secret@a.org:80/x.jpg?size=1', 'a.org_80/x.jpg'),
        ('http://a.org/../../etc/./passwd', 'a.org/etc/passwd'),
        ('http://a.org', 'a.org'),
    ],
)
def test_places_lead_nowhere_else(address, path):
    assert address_path(address) == PurePosixPath(path)
