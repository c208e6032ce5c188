"""Videos through a model: a line and a picture for each frame."""

import json
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from fastvit_dense.engine.video import predict_videos
from fastvit_dense.errors import ConfigError, ImageError
from fastvit_dense.inference.video import Video
from tests.facts import raises_naming
from tests.inference.test_video import Camera, make_video, serving

pytestmark = pytest.mark.integration

# a command as a terminal starts it; jobs in the background of a script ignore Ctrl-C
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from fastvit_dense.cli import main
main()
"""


@pytest.fixture(scope='module')
def clip(photo, tmp_path_factory):
    """Nine frames, ten a second: a picture that moves."""
    path = tmp_path_factory.mktemp('video') / 'clip.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 10, (160, 120))
    for number in range(9):
        frame = photo[number : number + 120, 3 * number : 3 * number + 160]
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def test_frames_of_a_detector(trained, clip, tmp_path, capsys):
    (lines,) = predict_videos(str(trained), None, [str(clip)], str(tmp_path), batch_size=4)
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [record['frame'] for record in records] == list(range(9))
    np.testing.assert_allclose([r['seconds'] for r in records], np.arange(9) / 10, atol=1e-3)
    assert all(record['instances'] for record in records)
    shown = Video(str(tmp_path / 'clip.mp4'))
    assert shown.rate == pytest.approx(10)
    assert len(list(shown)) == 9
    assert '9 frames, ' in capsys.readouterr().out
    with raises_naming(ImageError, clip, 'overwritten', '--out-dir'):
        predict_videos(str(trained), None, [str(clip)], str(clip.parent))
    with raises_naming(ConfigError, '--smooth', 'instance'):
        predict_videos(str(trained), None, [str(clip)], str(tmp_path), smooth=True)


def test_hands_are_steady(tiny_hand, random_hand, clip, tmp_path):
    def joints(**settings):
        options = (tiny_hand, str(random_hand), [str(clip)], str(tmp_path))
        (lines,) = predict_videos(*options, pictures=False, **settings)
        records = map(json.loads, lines.read_text().splitlines())
        return np.array([record['joints'] for record in records])

    plain, smooth = joints(), joints(smooth=True)
    steps = [np.abs(np.diff(found, axis=0)).mean() for found in (plain, smooth)]
    assert 0 < steps[1] < steps[0]
    np.testing.assert_allclose(smooth[0], plain[0])


def test_a_video_without_frames(trained, tmp_path):
    path = make_video(tmp_path / 'empty.mp4', 1)
    path.write_bytes(path.read_bytes()[:200])
    with raises_naming(ImageError, path):
        predict_videos(str(trained), None, [str(path)], str(tmp_path / 'out'))
    assert not list(tmp_path.glob('out/*'))


def test_two_of_one_name(trained, clip, tmp_path):
    """Neither is lost: nothing is predicted."""
    (tmp_path / 'b').mkdir()
    other = shutil.copy(clip, tmp_path / 'b')
    out = tmp_path / 'out'
    with raises_naming(ImageError, other, clip, out / 'clip.jsonl', '--out-dir'):
        predict_videos(str(trained), None, [str(clip), str(other)], str(out))
    assert not out.exists()


def test_a_video_that_ends_early(trained, tmp_path, capsys):
    path = tmp_path / 'cut.mkv'
    noise = np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3), np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10, (64, 48))
    for frame in noise:
        writer.write(frame)
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    (lines,) = predict_videos(str(trained), None, [str(path)], str(tmp_path), pictures=False)
    read = len(lines.read_text().splitlines())
    assert 0 < read < 8
    assert f'{read} of 8 frames, ' in capsys.readouterr().out


def frames_written(folder):
    return sum(f.read_bytes().count(b'\n') for f in folder.iterdir() if '.jsonl' in f.name)


def test_ctrl_c_ends_a_camera(trained, tmp_path, root_dir):
    """All frames until then are in whole files."""

    class Endless(Camera):
        frames = 100_000

    with serving(Endless) as address:
        command = [sys.executable, '-c', INTERRUPTIBLE, 'predict', str(trained)]
        command += [f'camera:{address}/live', '--out-dir', str(tmp_path)]
        process = subprocess.Popen(command, cwd=root_dir, stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and frames_written(tmp_path) < 2:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    (lines,) = tmp_path.glob('*.jsonl')
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [record['frame'] for record in records] == list(range(len(records)))
    assert f'{len(records)} frames, ' in said
    shown = Video(str(lines.with_suffix('.mp4')))  # of constant rate: until its last frame
    assert len(list(shown)) >= round(records[-1]['seconds'] * shown.rate) + 1


def test_ctrl_c_before_the_first_frame(trained, tmp_path, monkeypatch):
    """It ends the command as anywhere else, without a word on frames and without files."""

    def interrupted(self):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(Video, '__iter__', interrupted)
    with serving(Camera) as address, pytest.raises(KeyboardInterrupt):
        predict_videos(str(trained), None, [f'camera:{address}/live'], str(tmp_path))
    assert list(tmp_path.iterdir()) == []
