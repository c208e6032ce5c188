"""The page in Chromium, and what a stranger asks its server for."""

import json
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from PIL import Image

from fastvit_dense.engine import app
from fastvit_dense.errors import ConfigError
from fastvit_dense.inference.showing import MAX_BYTES, Showroom
from tests.evaluation.browser import Browser, find_chromium
from tests.facts import raises_naming


def test_what_is_shown_is_text():
    assert '<script>' not in app.problem('<script>x</script>')
    table = app.times_table([('decode', 0.0012), ('network', 0.1)])
    assert '<td>decode</td><td>1.2 ms</td>' in table
    assert '<td>all</td><td>101.2 ms</td>' in table


def test_only_uploaded_files_are_read(tmp_path):
    folder = tmp_path / 'uploads'
    folder.mkdir()
    (folder / 'a.png').write_bytes(b'x')
    (tmp_path / 'secret').write_bytes(b'x')
    (folder / 'link').symlink_to(tmp_path / 'secret')
    assert app.uploaded(str(folder / 'a.png'), folder) == str(folder / 'a.png')
    for path in (
        '/etc/passwd',
        folder / 'link',
        folder / '../secret',
        'http://127.0.0.1/a',
        folder,
    ):
        with raises_naming(ConfigError, 'expected an uploaded file'):
            app.uploaded(str(path), folder)


def test_without_gradio_one_line_tells_what_to_type(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'gradio', None)  # as Python itself marks what is not there
    monkeypatch.setattr(os, 'environ', os.environ.copy())
    with raises_naming(ConfigError, 'Gradio', 'pip install gradio'):
        app.make_app(Showroom(), tmp_path)


@pytest.mark.slow
def test_a_port_that_is_taken(tmp_path):
    pytest.importorskip('gradio')
    with socket.create_server(('127.0.0.1', 0)) as other:
        port = other.getsockname()[1]
        with raises_naming(ConfigError, '--port', port):
            app.serve(port=port)


@pytest.fixture(scope='module')
def server(trained, tmp_path_factory):
    """Address and folder of a page that is served by a thread."""
    pytest.importorskip('gradio')
    import uvicorn

    folder = tmp_path_factory.mktemp('app')
    application = app.make_app(Showroom([str(trained)], 'cpu'), folder)
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        port = one.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(application, port=port, log_level='warning'))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.05)
    yield f'http://127.0.0.1:{port}', folder
    running.should_exit = True
    thread.join(20)


@pytest.fixture(scope='module')
def page(server):
    """A browser that shows the page."""
    if not find_chromium():
        pytest.skip('Chromium is not installed')
    with Browser(seconds=240) as browser:
        online = dict(offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
        browser.call('Network.emulateNetworkConditions', **online)
        browser.call('Page.navigate', url=server[0])
        until(browser, 'document.querySelectorAll("input[type=file]").length > 0')
        yield browser


def until(browser, expression, seconds=60):
    end = time.monotonic() + seconds
    while not browser.evaluate(expression):
        assert time.monotonic() < end, browser.evaluate('document.body.innerText')
        time.sleep(0.2)


def upload(browser, path):
    if browser.evaluate('!document.querySelector("input[type=file]")'):
        browser.evaluate('document.querySelector("button[aria-label=\'Clear\']").click()')
        until(browser, '!!document.querySelector("input[type=file]")')
    root = browser.call('DOM.getDocument')['root']['nodeId']
    node = browser.call('DOM.querySelector', nodeId=root, selector='input[type=file]')['nodeId']
    browser.call('DOM.setFileInputFiles', files=[str(path)], nodeId=node)


@pytest.mark.slow
@pytest.mark.integration
def test_in_a_browser(page, server, photo, tmp_path):
    """A picture and its result; then a file that is none; then one too large."""
    address, _ = server
    Image.fromarray(photo).save(tmp_path / 'photo.png')
    upload(page, tmp_path / 'photo.png')
    until(page, 'document.body.innerText.includes("203 x 151 pixels")')
    until(page, 'document.querySelectorAll("img").length >= 2')
    assert page.evaluate('document.querySelectorAll(".times tr").length') == 7
    page.evaluate(
        'HTMLAnchorElement.prototype.click = function() { window.clicked = this.href }; '
        '[...document.querySelectorAll("button")].find(b => b.innerText.trim() == "JSON").click()'
    )
    until(page, '!!window.clicked')
    link = page.evaluate('window.clicked')
    with urllib.request.urlopen(link) as answer:
        assert json.loads(answer.read())['image'] == 'photo.png'
    for width in (1280, 390):
        size = dict(width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        page.call('Emulation.setDeviceMetricsOverride', **size)
        assert page.evaluate('document.documentElement.scrollWidth') <= width
    (tmp_path / 'broken.png').write_bytes(b'no picture')
    upload(page, tmp_path / 'broken.png')
    until(page, 'document.body.innerText.includes("broken.png: cannot be read")')
    (tmp_path / 'large.png').write_bytes(bytes(MAX_BYTES + 1))
    upload(page, tmp_path / 'large.png')
    until(page, '/maximum/i.test(document.body.innerText)')
    assert all(url.startswith((address, 'blob:')) for url in page.requests()), page.requests()


def asked(address, path, content=None, **headers):
    """Status and body of an answer."""
    data = None if content is None else json.dumps(content).encode()
    headers = {'Content-Type': 'application/json', **headers}
    request = urllib.request.Request(f'{address}{path}', data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.slow
@pytest.mark.integration
def test_strangers_read_no_files(server, tmp_path):
    address, folder = server
    secret = tmp_path / 'secret.txt'
    secret.write_text('private words')
    for path in (secret, f'{folder}/../{secret.name}', '/etc/passwd', 'pyproject.toml'):
        status, body = asked(address, f'/gradio_api/file={path}')
        assert status in (403, 404), path
        assert 'private' not in body
        assert 'root:' not in body
    config = asked(address, '/config')[1]
    assert 'epoch_1.pth' in config
    for picture in (str(secret), f'{address}/theme.css'):
        about = {'path': picture, 'meta': {'_type': 'gradio.FileData'}, 'orig_name': 'a.png'}
        for model in ('epoch_1.pth', str(secret), '../../etc/passwd'):
            call = {'data': [about, model, 0.3]}
            status, body = asked(address, '/gradio_api/call/predict', call)
            if status == 200:
                number = json.loads(body)['event_id']
                status, body = asked(address, f'/gradio_api/call/predict/{number}')
                assert 'event: error' in body
            assert 'private' not in body
    assert asked(address, '/', Host='evil.example')[0] == 400
    with urllib.request.urlopen(address) as answer:
        assert "default-src 'self'" in answer.headers['Content-Security-Policy']
