"""The 15 corruptions of ImageNet-C, by a library, on pictures as a pipeline reads them.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (ICLR 2019); for detection: Michaelis et al., arXiv 1907.07484.
"""

import contextlib
import difflib
import hashlib
import importlib.metadata
import io
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import Compose

from ..errors import ConfigError, DataError

LIBRARY = 'imagecorruptions-imaug'
INSTALL = f'pip install --no-deps {LIBRARY}==1.1.5 && pip install numba scikit-image scipy'
STRENGTHS = (1, 2, 3, 4, 5)
FAMILIES = {
    'noise': ('gaussian_noise', 'shot_noise', 'impulse_noise'),
    'blur': ('defocus_blur', 'glass_blur', 'motion_blur', 'zoom_blur'),
    'weather': ('snow', 'frost', 'fog', 'brightness'),
    'digital': ('contrast', 'elastic_transform', 'pixelate', 'jpeg_compression'),
}
CORRUPTIONS = tuple(name for names in FAMILIES.values() for name in names)
OWN_GENERATOR = ('impulse_noise', 'glass_blur')  # take a seed; the others draw from np.random
MIN_SIDE = 32  # pixels, the library's


class Setting(NamedTuple):
    """One corruption at one strength from 1 to 5."""

    corruption: str
    strength: int


def chosen_corruptions(text: str) -> tuple[str, ...]:
    """Names of corruptions for `all`, or a list of families and names with commas.

    Raises:
        ConfigError: A word is neither.
    """
    known = {'all': CORRUPTIONS, **FAMILIES, **{name: (name,) for name in CORRUPTIONS}}
    chosen: set[str] = set()
    for word in text.split(','):
        if word.strip() not in known:
            near = difflib.get_close_matches(word.strip(), known, n=1)
            hint = f'; did you mean {near[0]!r}?' if near else ''
            raise ConfigError(
                f'--corruptions: expected all, {", ".join(FAMILIES)} or names of corruptions '
                f'({", ".join(CORRUPTIONS)}), found {word.strip()!r}{hint}'
            )
        chosen.update(known[word.strip()])
    return tuple(name for name in CORRUPTIONS if name in chosen)


def load_library() -> ModuleType:
    """Import the library that corrupts.

    Raises:
        ConfigError: It is not installed, or not in a version that runs here.
    """
    try:
        import imagecorruptions
    except ImportError as error:
        raise ConfigError(
            f'--corruptions: needs {LIBRARY}, which cannot be imported ({error}): {INSTALL}'
        ) from None
    return imagecorruptions


def library_version() -> str:
    """Name and version of the library, as reports tell of it."""
    for name in (LIBRARY, 'imagecorruptions'):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f'{name} {importlib.metadata.version(name)}'
    return LIBRARY


def seed_of(picture: str, setting: Setting) -> int:
    """A seed from 0 to 2**32 - 1 of a picture, by its name, under a corruption at a strength."""
    text = f'{picture} {setting.corruption} {setting.strength}'
    return int.from_bytes(hashlib.sha256(text.encode('utf-8', 'surrogatepass')).digest()[:4], 'big')


def corrupt(image: np.ndarray, setting: Setting, seed: int) -> np.ndarray:
    """Corrupt a picture; NumPy's random state stays as it was.

    Args:
        image: (H, W, 3) uint8, RGB, at least 32 pixels each way.
        setting: What is done, how strongly.
        seed: Of all that is random in it, from 0 to 2**32 - 1.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    library = load_library()
    own = {'seed': seed} if setting.corruption in OWN_GENERATOR else {}
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints of sizes that do not divide
            return library.corrupt(image, setting.strength, setting.corruption, **own)
    finally:
        np.random.set_state(state)


class CorruptedPipeline(Compose):
    """A dataset's pipeline that corrupts each picture once it is read, before all other steps.

    Args:
        steps: The dataset's own transforms.

    Attributes:
        setting: What is done; None: nothing.
    """

    def __init__(self, steps: list) -> None:
        super().__init__(steps)
        self.setting: Setting | None = None

    def __call__(self, data: dict) -> Any:
        """Run the steps; what they return, None where a step leaves the sample out.

        Raises:
            DataError: A picture is too small, or not of three channels.
        """
        done = self.setting is None
        for step in self.transforms:
            data = step(data)
            if data is None:
                return None
            if not done and isinstance(data, dict) and 'img' in data:
                data['img'] = self._corrupted(data)
                done = True
        return data

    def _corrupted(self, data: dict) -> np.ndarray:
        path, image = str(data.get('img_path', data.get('sample_idx'))), data['img']
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
            found = getattr(image, 'shape', type(image).__name__)
            raise DataError(f'{path}: --corruptions: expected (H, W, 3), found {found}')
        if min(image.shape[:2]) < MIN_SIDE:
            raise DataError(
                f'{path}: --corruptions: expected at least {MIN_SIDE} x {MIN_SIDE} pixels, found '
                f'{image.shape[1]} x {image.shape[0]}'
            )
        assert self.setting is not None
        rgb = np.ascontiguousarray(image[..., ::-1]).astype(np.uint8)  # float pictures hold bytes
        out = corrupt(rgb, self.setting, seed_of(Path(path).name, self.setting))
        return np.ascontiguousarray(out[..., ::-1]).astype(image.dtype)


def corrupted_pipelines(dataset: Any) -> list[CorruptedPipeline]:
    """Put a `CorruptedPipeline` into a built dataset and those inside it, and return them.

    Raises:
        ConfigError: A dataset has no pipeline of mmengine's kind.
    """
    found = []
    for inner in _innermost(dataset):
        steps = getattr(getattr(inner, 'pipeline', None), 'transforms', None)
        if not steps:
            raise ConfigError(
                f'--corruptions: {type(inner).__name__}: expected a pipeline of steps that reads '
                'pictures, found none'
            )
        inner.pipeline = CorruptedPipeline(steps)
        found.append(inner.pipeline)
    return found


def _innermost(dataset: Any) -> Iterator[Any]:
    """The datasets inside wrappers."""
    inner = getattr(dataset, 'datasets', None) or getattr(dataset, 'dataset', None)
    if inner is None:
        yield dataset
        return
    for part in inner if isinstance(inner, list | tuple) else [inner]:
        yield from _innermost(part)
