"""Published weights by name or address: cached, resumable, checked, and usable without a network.

A file is kept under `cache_dir` at a place that follows from its address, so that a file which
was copied there by hand is as good as a downloaded one.
"""

import hashlib
import http.client
import os
import re
import sys
import time
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import torch
from filelock import FileLock
from tqdm import tqdm

from ..errors import CheckpointError, reason_of
from .files import file_sha256
from .published import (
    LICENCES,
    PUBLISHED,
    PublishedFile,
    known_archs,
    nearest_names,
    published_name,
)
from .reader import foreign_kind

TIMEOUT = 30  # seconds without a byte
ATTEMPTS = 4  # connections, each going on where the one before broke off
_CHUNK = 1 << 18
# the first digits of a SHA-256 before the suffix, as torch.hub, OpenMMLab and we name files; eight
# digits that read as a date are none
HASH_IN_NAME = re.compile(r'-(?!(?:19|20)\d{6}\.)([0-9a-f]{8,64})\.')


def cache_dir() -> Path:
    """Return `$FASTVIT_DENSE_CACHE`, or `fastvit_dense` in torch.hub's folder."""
    folder = os.environ.get('FASTVIT_DENSE_CACHE')
    return Path(folder).expanduser() if folder else Path(torch.hub.get_dir(), 'fastvit_dense')


def cache_path(url: str) -> Path:
    """Return where the file of an address is kept."""
    parts = urlsplit(url)
    names = [name for name in PurePosixPath(parts.path).parts if name not in ('/', '..')]
    if not names:
        raise CheckpointError(f'{url}: the address names no file')
    if parts.query:  # the same path with another query is another file
        names[-1] = f'{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}_{names[-1]}'
    return cache_dir().joinpath(parts.netloc.replace(':', '_'), *names)


def resolve(checkpoint: str | Path) -> Path:
    """Return the local file of a path, an http(s) address or a name in `PUBLISHED`.

    Raises:
        CheckpointError: The name is unknown, or the file cannot be downloaded.
    """
    text = str(checkpoint)
    path = Path(text).expanduser()
    if path.exists():
        return path
    name = published_name(text)
    if name in PUBLISHED:
        return fetch_published(PUBLISHED[name])
    if text.startswith(('http://', 'https://')):
        return fetch(text)
    if near := nearest_names(name):
        raise CheckpointError(
            f'{text!r} is not published; of {" ".join(known_archs(near[0]))} the nearest are '
            f'{", ".join(near)}; `fastvit-dense models` lists all'
        )
    if re.fullmatch(r'[\w.-]+/[\w.-]+', name) and not path.parent.is_dir() and not path.suffix:
        raise CheckpointError(
            f'{text}: there is no such file. If it is a repository of Hugging Face, download its '
            f'weights and name the file: hf download {name} --local-dir FOLDER'
        )
    return path  # reading it tells that there is no such file


def fetch_published(file: PublishedFile) -> Path:
    """Return the local copy of a published file; before a download its licence is told.

    Raises:
        CheckpointError: Its address is not known here, or as of `fetch`.
    """
    if not file.addresses:
        raise CheckpointError(
            f'{file.name}: its address is not known here: download the file yourself and give its '
            'path in place of the name'
        )
    places = [cache_path(url) for url in file.addresses]
    for place in places:
        if place.is_file():
            return place
    terms = LICENCES.get(file.licence or '', 'not known here; see where it comes from')
    print(f'{file.name}: licence {file.licence or ""} ({terms})', file=sys.stderr)
    for url in file.addresses[:-1]:
        try:
            return fetch(url, file.sha256)
        except CheckpointError as error:
            if getattr(error.__cause__, 'code', None) != http.HTTPStatus.NOT_FOUND:
                raise
    return fetch(file.addresses[-1], file.sha256)


def fetch(url: str, sha256: str | None = None) -> Path:
    """Return the local copy of a file, downloading it on first use.

    An interrupted download goes on where it broke off, in this call and in a later one. Processes
    that want the same file at the same time download it once.

    Args:
        url: Its address.
        sha256: What a download must have, 64 hexadecimal digits or the first of them; by default
            those in the file's name, if any.

    Raises:
        CheckpointError: No connection, no such file, or the content is not what was announced.
            The message says where a copy of the file can be put instead.
    """
    path = cache_path(url)
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f'{path}.lock'):
            if not path.is_file():
                _download(url, path, sha256)
    except (OSError, http.client.HTTPException, _Incomplete) as error:
        raise CheckpointError(
            f'cannot download {url}\n  {_reason(error)}\n  With a network, try again: what arrived '
            f'is kept. Without one, download the file elsewhere and put it at\n  {path}'
        ) from error
    return path


class _Incomplete(Exception):
    """The content is not what the server or the file's name announced."""


def _download(url: str, path: Path, sha256: str | None) -> None:
    part = path.with_name(f'{path.name}.part')
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _continue_download(url, part)
            break
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException, _Incomplete) as error:
            if attempt == ATTEMPTS or not _is_interruption(error):
                raise
            time.sleep(2 ** (attempt - 1) / 2)
    named = HASH_IN_NAME.search(path.name)
    wanted, source = (sha256, 'published is') if sha256 else (named and named[1], 'its name says')
    if wanted:
        found = file_sha256(part)
        if not found.startswith(wanted):
            part.unlink()
            raise _Incomplete(f'its SHA-256 begins with {found[:8]}, {source} {wanted}')
    with part.open('rb') as file:
        if kind := foreign_kind(file.read(64)):  # of a network that asks to sign in first
            part.unlink()
            raise _Incomplete(f'what came is {kind}')
    _validator(part).unlink(missing_ok=True)
    part.replace(path)


def _continue_download(url: str, part: Path) -> None:
    """Fetch what is missing from `part`; after it the file has the announced size."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={'User-Agent': 'fastvit_dense'})
    if have:
        request.add_header('Range', f'bytes={have}-')
        if _validator(part).is_file():  # a file that changed meanwhile comes whole
            request.add_header('If-Range', _validator(part).read_text())
    try:
        # urlopen() would keep the proxies of its first call for the life of the process
        response = urllib.request.build_opener().open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if have == _total_size(error.headers):
            return
        part.unlink()
        raise _Incomplete('the part that was there did not fit the file') from error
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0
            _remember_validator(part, response.headers)
        size = response.headers.get('Content-Length')
        total = have + int(size) if size else None
        _write(response, part, have, total)
    found = part.stat().st_size
    if total is not None and found != total:
        if found > total:
            part.unlink()
        raise _Incomplete(f'{found} of {total} bytes arrived')


def _write(response: http.client.HTTPResponse, part: Path, have: int, total: int | None) -> None:
    """Append the body to the first `have` bytes of `part`, with progress on stderr."""
    every = 0.5 if sys.stderr.isatty() else 10
    bar = tqdm(
        desc=part.name.removesuffix('.part'),
        total=total,
        initial=have,
        unit='B',
        unit_scale=True,
        mininterval=every,
    )
    with bar, part.open('r+b' if have else 'wb') as file:
        file.seek(have)
        file.truncate()
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))


def _total_size(headers: Message) -> int | None:
    """Return the size in `Content-Range: bytes */SIZE`."""
    size = headers.get('Content-Range', '').rpartition('/')[2]
    return int(size) if size.isdigit() else None


def _validator(part: Path) -> Path:
    """Return the file that remembers which version of the remote file `part` belongs to."""
    return part.with_name(f'{part.name}.etag')


def _remember_validator(part: Path, headers: Message) -> None:
    tag = headers.get('ETag', '')
    tag = headers.get('Last-Modified', '') if not tag or tag.startswith('W/') else tag
    if tag:
        _validator(part).write_text(tag)
    else:
        _validator(part).unlink(missing_ok=True)


def _is_interruption(error: Exception) -> bool:
    """Tell whether trying again at once may help: not where there is no connection at all."""
    return not isinstance(error, urllib.error.URLError)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f'the server answered {error.code} {error.reason}'
    if isinstance(error, urllib.error.URLError):
        return f'no connection: {error.reason}'
    return reason_of(error)
