"""Headless Chromium over its debugging pipe (null-ended JSON on file descriptors 3 and 4)."""

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

_FLAGS = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--disable-dev-shm-usage',
    '--hide-scrollbars',
    '--remote-debugging-pipe',
)


def find_chromium():
    """Path of an installed Chromium, or None."""
    names = ('chromium', 'chromium-browser', 'google-chrome')
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """One Chromium with one page, its network switched off.

    Args:
        width: Width of the window in CSS pixels.
    """

    def __init__(self, seconds=60):
        self.deadline = time.monotonic() + seconds
        self.events = []
        self._ids = itertools.count(1)
        self._rest = b''
        self._profile = tempfile.TemporaryDirectory(prefix='chromium-', ignore_cleanup_errors=True)
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        # The child must find the two pipe ends at 3 and 4, whatever numbers they have here.
        command = f'exec 3<&{to_read} 4>&{to_write}; exec "$0" "$@"'
        arguments = [*_FLAGS, f'--user-data-dir={self._profile.name}', 'about:blank']
        self._process = subprocess.Popen(
            ['bash', '-c', command, find_chromium(), *arguments],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        pages = self.call('Target.getTargets')['targetInfos']
        target = next(page['targetId'] for page in pages if page['type'] == 'page')
        attached = self.call('Target.attachToTarget', targetId=target, flatten=True)
        self.session = attached['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{domain}.enable')
        offline = dict(offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
        self.call('Network.emulateNetworkConditions', **offline)

    session = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with contextlib.suppress(Exception):
            self.session = None
            self.call('Browser.close')
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)
        self._profile.cleanup()

    def call(self, method, **parameters):
        """Send one command and return its result; events that arrive meanwhile are kept."""
        number = next(self._ids)
        message = {'id': number, 'method': method, 'params': parameters}
        if self.session:
            message['sessionId'] = self.session
        os.write(self._write, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._next()
            if answer.get('id') == number:
                if 'error' in answer:
                    raise RuntimeError(f'{method}: {answer["error"]["message"]}')
                return answer['result']
            self.events.append(answer)

    def _next(self):
        while b'\0' not in self._rest:
            left = self.deadline - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise TimeoutError('Chromium did not answer in time')
            chunk = os.read(self._read, 1 << 16)
            if not chunk:
                raise RuntimeError('Chromium went away')
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b'\0')
        return json.loads(message)

    def open(self, path, width, dark=False):
        """Show a file in a window of the given width and wait until it is loaded."""
        self.events.clear()
        size = dict(width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        self.call('Emulation.setDeviceMetricsOverride', **size)
        scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
        self.call('Emulation.setEmulatedMedia', features=[scheme])
        self.call('Page.navigate', url=Path(path).resolve().as_uri())
        while not any(event.get('method') == 'Page.loadEventFired' for event in self.events):
            self.events.append(self._next())

    def evaluate(self, expression):
        """Value of a JavaScript expression in the page."""
        answer = self.call('Runtime.evaluate', expression=expression, returnByValue=True)
        if 'exceptionDetails' in answer:
            raise RuntimeError(answer['exceptionDetails']['text'])
        return answer['result'].get('value')

    def complaints(self):
        """What the page wrote to the console, and what it failed to load or run."""
        self.evaluate('1')
        methods = ('Log.entryAdded', 'Runtime.consoleAPICalled', 'Runtime.exceptionThrown')
        methods += ('Network.loadingFailed',)
        return [event for event in self.events if event.get('method') in methods]

    def requests(self):
        """Addresses that the page asked for, data URIs left out."""
        sent = [e for e in self.events if e.get('method') == 'Network.requestWillBeSent']
        urls = [event['params']['request']['url'] for event in sent]
        return [url for url in urls if not url.startswith('data:')]

    def screenshot(self, path, height=None):
        """Write a PNG of the whole page, or of its first ``height`` pixels."""
        width = self.evaluate('document.documentElement.clientWidth')
        full = self.evaluate('document.documentElement.scrollHeight')
        clip = dict(x=0, y=0, width=width, height=min(height or full, full), scale=1)
        shot = self.call('Page.captureScreenshot', clip=clip, captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(shot['data']))
