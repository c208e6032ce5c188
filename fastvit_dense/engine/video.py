"""Predicting videos and cameras from the command line."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..checkpoints.files import replacing
from ..errors import ImageError
from ..inference.predictor import BATCH_SIZE, Predictor, load_model
from ..inference.progress import Progress
from ..inference.video import Frame, Video, video_name, writing_video
from ..tasks.config import load_config, own_weights


def predict_videos(
    config: str,
    checkpoint: str | None,
    sources: Sequence[str],
    out_dir: str,
    *,
    sample: bool = False,
    cfg_options: Iterable[str] = (),
    fuse: bool = False,
    batch_size: int | None = None,
    score_thr: float | None = None,
    pictures: bool = True,
    smooth: bool = False,
) -> list[Path]:
    """Predict each frame of videos; for each NAME.mp4 write NAME.mp4 and NAME.jsonl to `out_dir`.

    Frames go through one after another: memory does not grow. Ctrl-C ends a camera, and leaves
    whole files.

    Args:
        config: Config file, or a file that stands alone.
        checkpoint: Weights; None: those of `config`.
        sources: Files, their addresses, or cameras: `0`, `camera:0`, `rtsp://HOST/NAME`.
        out_dir: Where files go.
        sample: Use the embedded sample data's settings.
        cfg_options: `key=value` strings.
        fuse: Reparameterize the model first.
        batch_size: Frames at a time; by default 8 on a GPU, else 1.
        score_thr: Leave out what scores less.
        pictures: False: write no video, data only.
        smooth: Make hands steady.

    Returns:
        The files of data: a line a frame, with its number and its time in seconds.

    Raises:
        ImageError: A video cannot be opened, or has no frames; or two are called the same.
        ConfigError: There is nothing that smooths the results of this task.
    """
    videos: dict[Path, Video] = {}
    for source in dict.fromkeys(sources):
        path, video = Path(out_dir, f'{video_name(source)}.jsonl'), Video(source)
        if path in videos:
            raise ImageError(
                f'{source} and {videos[path].source} would both be written to {path}; predict them '
                'one after the other, each with an --out-dir of its own'
            )
        videos[path] = video
        if path.with_suffix('.mp4').resolve() == Path(video.source).resolve():
            raise ImageError(f'{video.source} would be overwritten; choose another --out-dir')
    cfg = load_config(config, sample=sample, cfg_options=cfg_options, pretrained=False)
    model = load_model(cfg, own_weights(config) if checkpoint is None else checkpoint)
    if fuse:
        model.fuse()
    size = batch_size or (BATCH_SIZE if torch.cuda.is_available() else 1)
    for path, video in videos.items():
        results = predict_frames(model, video, size, smooth)
        _write(results, video, path, score_thr, pictures)
    return list(videos)


def predict_frames(
    model: Predictor, frames: Iterable[Frame], batch_size: int = 1, smooth: bool = False
) -> Iterator[tuple[Frame, Any]]:
    """Yield each frame with its result, smoothed where that is wanted."""
    smoother = model.task.smoother() if smooth else None
    for frame, result in model.pairs(frames, batch_size, image_of=lambda frame: frame.image):
        if isinstance(result, ImageError):
            raise result
        yield frame, smoother(result, frame.seconds) if smoother else result


def _write(
    results: Iterable[tuple[Frame, Any]],
    video: Video,
    path: Path,
    score_thr: float | None,
    pictures: bool,
) -> None:
    progress = Progress(video.count, 'frames')
    with ExitStack() as stack:
        part = stack.enter_context(replacing(path))
        lines = stack.enter_context(part.open('w', buffering=1, encoding='utf-8'))
        shown = None
        if pictures:
            shown = stack.enter_context(writing_video(path.with_suffix('.mp4'), video.rate))
        try:
            for frame, result in results:
                if score_thr is not None:
                    result = result.above(score_thr)
                if shown is not None:
                    shown.write(np.asarray(result.draw().convert('RGB')), frame.seconds)
                about = {'frame': frame.number, 'seconds': round(frame.seconds, 6)}
                lines.write(json.dumps({**about, **result.to_dict()}) + '\n')
                progress.step()
        except KeyboardInterrupt:
            if not video.camera or not progress.done:
                raise
        progress.close()
        if not progress.done:
            raise ImageError(f'{video.source}: expected a video, found no frame in it')
    files = f'{path.with_suffix(".mp4")} and {path.name}' if pictures else str(path)
    short = video.count is not None and progress.done < video.count
    count = f'{progress.done} of {video.count}' if short else str(progress.done)
    print(f'{count} frames, {progress.rate:.3g} a second: {files}')
