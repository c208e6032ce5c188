"""Pictures at http(s) addresses."""

import http.client
import time
import urllib.request
from pathlib import PurePosixPath
from typing import TypeGuard
from urllib.parse import urlsplit

from ..errors import ImageError, reason_of
from ..limits import DOWNLOADED_BYTES

SILENCE = 30  # seconds without a byte
LONGEST = 300  # seconds for a picture
CHUNK = 1 << 16


def is_address(source: object) -> TypeGuard[str]:
    """Tell whether a word is an http(s) address."""
    return isinstance(source, str) and source.startswith(('http://', 'https://'))


def address_path(address: str) -> PurePosixPath:
    """Host and path of an address as a path that leads nowhere else."""
    parts = urlsplit(address)
    names = [name for name in parts.path.split('/') if name not in ('', '.', '..')]
    return PurePosixPath(parts.netloc.rpartition('@')[2].replace(':', '_') or 'host', *names)


def download(address: str) -> bytes:
    """The bytes at an address; redirects lead to other http(s) addresses only.

    Raises:
        ImageError: They cannot be had within `SILENCE` seconds without a byte and `LONGEST` in
            all, or are more than `limits.DOWNLOADED_BYTES`.
    """
    end = time.monotonic() + LONGEST
    try:
        with _opener().open(address, timeout=SILENCE) as answer:
            told = answer.length
            if (told or 0) > DOWNLOADED_BYTES:
                raise ImageError(f'{address}: {_too_many(told)}')
            data = bytearray()
            while chunk := answer.read1(CHUNK):
                data += chunk
                if len(data) > DOWNLOADED_BYTES:
                    raise ImageError(f'{address}: {_too_many("more")}')
                if time.monotonic() > end:
                    raise ImageError(
                        f'{address}: cannot be had: {len(data):,} bytes in {LONGEST} seconds'
                    )
    except ImageError:
        raise
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ImageError(f'{address}: cannot be had: {reason_of(error)}') from error
    if told is not None and len(data) < told:
        raise ImageError(f'{address}: broke off after {len(data):,} of {told:,} bytes')
    return bytes(data)


def _too_many(found: int | str) -> str:
    number = f'{found:,}' if isinstance(found, int) else found
    return f'expected at most {DOWNLOADED_BYTES:,} bytes, found {number}'


def _opener() -> urllib.request.OpenerDirector:
    """The standard library's way to open addresses, without files, FTP and data in addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
