"""Videos: every frame once, at its time, in memory that does not grow."""

import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from fastvit_dense.errors import ImageError
from fastvit_dense.inference.video import (
    Video,
    VideoWriter,
    camera_of,
    is_video,
    video_name,
    writing_video,
)
from tests.facts import raises_naming


def make_video(path, frames, rate=12.5, size=(64, 48)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), rate, size)
    for number in range(frames):
        writer.write(np.full((*size[::-1], 3), number * 12, np.uint8))
    writer.release()
    return path


class Camera(BaseHTTPRequestHandler):
    """A camera on the network as most are: one JPEG picture after another, each when it is new."""

    frames, seconds = 6, 0.1

    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=frame')
        self.end_headers()
        for number in range(self.frames):
            image = np.full((48, 64, 3), number * 40 % 256, np.uint8)
            data = cv2.imencode('.jpg', image)[1].tobytes()
            head = f'--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n'
            try:
                self.wfile.write(head.encode() + data + b'\r\n')
            except ConnectionError:
                return
            time.sleep(self.seconds)

    def log_message(self, *_):
        pass


class Films(SimpleHTTPRequestHandler):
    """Files of a folder."""

    def log_message(self, *_):
        pass


@contextmanager
def serving(handler):
    """Address of a server that answers with `handler`."""
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_frames_and_their_times(tmp_path):
    video = Video(str(make_video(tmp_path / 'a.mp4', 20)))
    assert video.rate == pytest.approx(12.5)
    assert video.count == 20
    frames = list(video)
    assert [frame.number for frame in frames] == list(range(20))
    np.testing.assert_allclose([f.seconds for f in frames], np.arange(20) / 12.5, atol=1e-3)
    levels = [frame.image.mean() for frame in frames]
    np.testing.assert_allclose(levels, np.arange(20) * 12, atol=5)


def test_a_camera_on_the_network():
    """Its frames have the time of the clock: it says no rate that fits, and no count."""
    with serving(Camera) as address:
        video = Video(f'camera:{address}/video')
        frames = list(video)
    assert video.camera
    assert video.count is None
    levels = [frame.image.mean() for frame in frames]
    np.testing.assert_allclose(levels, np.arange(6) * 40, atol=5)
    seconds = np.array([frame.seconds for frame in frames])
    assert (np.diff(seconds) >= 0).all()
    assert seconds[-1] > 0.2, 'frames come as they are made, not all at once'


def test_a_film_at_an_address(tmp_path):
    make_video(tmp_path / 'a.mp4', 5)
    with serving(partial(Films, directory=tmp_path)) as address:
        film = f'{address}/a.mp4?token=1'
        assert is_video(film)
        assert camera_of(film) is None
        video = Video(film)
        assert (video.count, len(list(video))) == (5, 5)
        with raises_naming(ImageError, f'{address}/none.mp4', 'video'):
            Video(f'{address}/none.mp4')


def test_written_video_keeps_time(tmp_path):
    """A picture is shown until the next is due: frames that come late change no time."""
    times = [0.0, 0.1, 0.5, 0.6]  # of a rate of 10: three frames are missing
    with writing_video(tmp_path / 'b.mp4', 10) as writer:
        for number, seconds in enumerate(times):
            writer.write(np.full((47, 63, 3), number * 60, np.uint8), seconds)
    levels = [round(frame.image.mean() / 60) for frame in Video(str(tmp_path / 'b.mp4'))]
    assert levels == [0, 1, 1, 1, 1, 2, 3]
    assert list(tmp_path.iterdir()) == [tmp_path / 'b.mp4']


def test_what_is_no_video(tmp_path, capfd):
    (tmp_path / 'bad.mp4').write_bytes(b'nothing')
    with raises_naming(ImageError, tmp_path / 'bad.mp4', 'video'):
        Video(str(tmp_path / 'bad.mp4'))
    with raises_naming(ImageError, tmp_path / 'none.mp4', 'no such file'):
        Video(str(tmp_path / 'none.mp4'))
    capfd.readouterr()
    for name in ('97', 'camera:97'):
        with raises_naming(ImageError, name, 'camera', '/dev/video'):
            Video(name)
    shown = capfd.readouterr()
    assert shown.out + shown.err == '', 'no lines of OpenCV beside ours'
    writer = VideoWriter(tmp_path / 'none' / 'x.mp4', 10)
    with raises_naming(ImageError, tmp_path / 'none' / 'x.mp4', 'cannot write'):
        writer.write(np.zeros((8, 8, 3), np.uint8), 0)


def test_words(tmp_path, monkeypatch):
    assert all(map(is_video, ('a.MP4', '0', 'camera:1', 'x/y.webm')))
    assert not any(map(is_video, ('a.jpg', 'photos', '-', '0.png', 'camera:x', 'http://h/a.jpg')))
    assert all(map(is_video, ('rtsp://h/live', 'camera:http://h/video', 'https://h/a.mp4?b=1.jpg')))
    assert camera_of('camera:rtsps://me:word@h:554/live') == 'rtsps://me:word@h:554/live'
    names = {'x/a.b.mp4': 'a.b', 'camera:1': 'camera1', 'https://h/c.mov?d=1': 'c'}
    names['rtsp://me:word@h:554/live'] = 'camera_h_554_live'  # not the password
    assert {word: video_name(word) for word in names} == names
    (tmp_path / '2024').mkdir()
    monkeypatch.chdir(tmp_path)
    assert not is_video('2024'), 'a folder of that name'
