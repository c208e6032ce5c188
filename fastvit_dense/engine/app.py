"""A local page on which a model is tried: picture or camera in, overlay, times and JSON out.

Gradio draws it. Nothing is sent elsewhere, and nothing is loaded from elsewhere: its statistics are
off, and browsers are told (Content-Security-Policy) to ask this server alone.
"""

import contextlib
import html
import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, FastViTDenseError, reason_of
from ..inference.showing import MAX_BYTES, Showroom

LOCAL = ('127.0.0.1', 'localhost')
KEPT = 600  # seconds that pictures of visitors are kept
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'"
)
TITLE = 'fastvit_dense'
STYLE = (
    '.times, .times tr, .times td { border: 0 !important; } '
    '.times td { padding: 2px 14px 2px 0 !important; } .times td + td { text-align: right; }'
)


def serve(
    models: Sequence[str] = (),
    *,
    host: str = '127.0.0.1',
    port: int = 7860,
    device: str | None = None,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        models: Those that may be chosen besides the published ones; see `Showroom`.
        host: Address to listen at; another than the default opens the page to others.
        port: To listen at.
        device: Of the networks.

    Raises:
        ConfigError: Gradio is not installed, a model is none, or the port is taken.
    """
    showroom = Showroom(models, device)
    folder = tempfile.mkdtemp(prefix='fastvit_dense-app-')
    try:
        app = make_app(showroom, Path(folder), host)
        import uvicorn

        try:
            listening = socket.create_server((host, port))
        except (OSError, OverflowError) as error:
            raise ConfigError(f'--host {host} --port {port}: {reason_of(error)}') from error
        print(f'http://{host}:{listening.getsockname()[1]}  (Ctrl-C ends it)', flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(uvicorn.Config(app, log_level='warning')).run(sockets=[listening])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_app(showroom: Showroom, folder: Path, host: str = '127.0.0.1') -> Any:
    """Make the web application.

    Args:
        showroom: The models.
        folder: Of this server alone: pictures of visitors and results lie here for a while.
        host: That it is served at.

    Raises:
        ConfigError: Gradio is not installed.
    """
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'  # read where it is imported
    os.environ['HF_HUB_DISABLE_TELEMETRY'] = '1'
    os.environ['GRADIO_TEMP_DIR'] = str(folder)
    try:
        import gradio
        from fastapi import FastAPI
        from starlette.middleware.trustedhost import TrustedHostMiddleware
    except ImportError as error:
        raise ConfigError(f'app: needs Gradio ({error}): pip install gradio') from None

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if host in LOCAL:  # a page from elsewhere must not reach it under a name of its own
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL))

    @app.middleware('http')
    async def add_policy(request: Any, call_next: Any) -> Any:
        answer = await call_next(request)
        answer.headers['Content-Security-Policy'] = POLICY
        return answer

    page = make_page(showroom, folder)
    page.has_launched = True  # else Gradio takes the path of any file for that of an upload
    return gradio.mount_gradio_app(
        app,
        page,
        path='/',
        max_file_size=MAX_BYTES,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        css=STYLE,
    )


def make_page(showroom: Showroom, folder: Path) -> Any:
    """Make Gradio's blocks; arguments as in `make_app`."""
    import gradio

    def show(picture: str | None, name: str, score: float) -> tuple:
        if picture is None:
            return None, '', '', None
        try:
            answer = showroom(picture, name, score)
        except FastViTDenseError as error:
            return None, problem(str(error)), '', None
        data = Path(tempfile.mkdtemp(dir=folder), f'{Path(picture).stem}.json')
        data.write_text(answer.data, encoding='utf-8')
        return answer.overlay, html.escape(answer.told), times_table(answer.times), str(data)

    with gradio.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(KEPT // 10, KEPT)
    ) as page:
        gradio.Markdown(f'# {TITLE}\nPictures stay on the machine that serves this page.')
        with gradio.Row():
            with gradio.Column():
                picture = gradio.Image(
                    type='filepath',
                    image_mode=None,
                    sources=['upload', 'webcam', 'clipboard'],
                    webcam_options=gradio.WebcamOptions(mirror=False),
                    label=f'Picture, at most {MAX_BYTES >> 20} MB',
                    buttons=[],
                    height=320,
                )
                # the file as it is: who reads it says what is wrong with it (a subclass would do,
                # but Gradio writes a file beside the module that has one)
                picture.preprocess = lambda payload: (
                    None if payload is None else uploaded(payload.path, folder)
                )
                name = gradio.Dropdown(showroom.names, value=showroom.names[0], label='Model')
                score = gradio.Slider(0, 1, 0.3, step=0.01, label='Objects from this score on')
                button = gradio.Button('Predict', variant='primary')
            with gradio.Column():
                overlay = gradio.Image(
                    label='Found', format='jpeg', buttons=['fullscreen'], interactive=False
                )
                told = gradio.HTML()
                times = gradio.HTML()
                data = gradio.DownloadButton('JSON', interactive=True)
        gradio.on(
            [button.click, picture.change, name.change, score.release],
            show,
            [picture, name, score],
            [overlay, told, times, data],
            api_name='predict',
        )
    return page


def uploaded(path: str | None, folder: Path) -> str | None:
    """Return the path of a file that a visitor uploaded.

    Raises:
        ConfigError: It is another file, or an address.
    """
    if path is None:
        return None
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(folder)) or not real.is_file():
        raise ConfigError('picture: expected an uploaded file')
    return str(real)


def problem(text: str) -> str:
    """Tell what is wrong, as HTML."""
    style = 'background: #fdf1cf; color: #6b4e00; border-radius: 8px; padding: 9px 14px'
    return f'<div role="alert" style="{style}">{html.escape(text)}</div>'


def times_table(times: Sequence[tuple[str, float]]) -> str:
    """Parts of the work with their milliseconds, as HTML."""
    rows = [*times, ('all', sum(seconds for _, seconds in times))]
    cells = [f'<tr><td>{part}</td><td>{1000 * spent:.1f} ms</td></tr>' for part, spent in rows]
    return f'<table class="times">{"".join(cells)}</table>'
