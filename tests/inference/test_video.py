"""Videos: every frame once, at its time, in memory that does not grow."""

import cv2
import numpy as np
import pytest

from fastvit_dense.errors import ImageError
from fastvit_dense.inference.video import Video, VideoWriter, is_video, writing_video
from tests.facts import raises_naming


def make_video(path, frames, rate=12.5, size=(64, 48)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), rate, size)
    for number in range(frames):
        writer.write(np.full((*size[::-1], 3), number * 12, np.uint8))
    writer.release()
    return path


def test_frames_and_their_times(tmp_path):
    video = Video(str(make_video(tmp_path / 'a.mp4', 20)))
    assert video.rate == pytest.approx(12.5)
    assert video.count == 20
    frames = list(video)
    assert [frame.number for frame in frames] == list(range(20))
    np.testing.assert_allclose([f.seconds for f in frames], np.arange(20) / 12.5, atol=1e-3)
    levels = [frame.image.mean() for frame in frames]
    np.testing.assert_allclose(levels, np.arange(20) * 12, atol=5)


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
    assert not any(map(is_video, ('a.jpg', 'photos', '-', '0.png', 'camera:x')))
    (tmp_path / '2024').mkdir()
    monkeypatch.chdir(tmp_path)
    assert not is_video('2024'), 'a folder of that name'
