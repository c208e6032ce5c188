"""Image transforms that keep a hand's camera, joints, vertices and rotations consistent.

All work on the dict that `FreiHAND` hands out: `img` (H, W, 3) BGR, and as far as known `K` (3, 3)
pixels, `joints` (21, 3) and `vertices` (778, 3) metres in camera space, `global_orient` (3, 3),
`hand_pose` (15, 3, 3), `betas` (10,), `is_right`. What is not there is left out.

Pixel coordinates count from the outer corner of the image: the centre of the first pixel lies at
(0.5, 0.5), the image spans 0 to W. FreiHAND's principal points (112, 112 at 224 px) are of this
kind, PyTorch3D's cameras and `grid_sample(align_corners=False)` too.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.registry import TRANSFORMS
from mmengine.structures import BaseDataElement

from ..errors import DataError, MissingFileError
from .loading import read_image

BORDER = (104, 116, 124)  # ImageNet's mean colour, BGR
MASK_THRESHOLD = 150  # the masks are JPEGs; HandMesh's value
GT_FIELDS = ('joints', 'vertices', 'global_orient', 'hand_pose', 'betas')
META_FIELDS = (
    'img_path',
    'img_id',
    'annotation',
    'version',
    'sample_idx',
    'ori_shape',
    'img_shape',
    'K',
    'ori_K',
    'scale',
    'is_right',
    'image_transform',
    'camera_roll',
)


def split_affine(A: np.ndarray, K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write an affine change of the image as another camera that is rolled about its axis.

    A K X = K' R X for all points X: K' upper triangular, R a rotation about the optical axis (RQ
    decomposition of the upper left 2 x 2 of A K). This is exact for every affine A, wherever
    the principal point lies: it moves to A (cx, cy). If fx = fy and A is a similarity, K' has
    fx' = fy' and no skew; otherwise turning gives it a skew K'[0, 1] of the order of fx - fy.

    Args:
        A: (3, 3) pixels to new pixels, determinant above 0, last row 0 0 1.
        K: (3, 3) the camera, with positive focal lengths.

    Returns:
        K' (3, 3) and R (3, 3), float64.
    """
    M = np.asarray(A, np.float64) @ np.asarray(K, np.float64)
    sine, cosine = M[1, :2] / np.hypot(M[1, 0], M[1, 1])
    R = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]]).T
    new_K = M @ R.T
    new_K[1, 0] = 0.0
    return new_K, R


def warp_image(
    image: np.ndarray, A: np.ndarray, size: tuple[int, int], border: tuple = BORDER
) -> np.ndarray:
    """Move the content of an image by an affine map, without aliasing when it shrinks.

    Args:
        image: (H, W, 3) or (H, W).
        A: (3, 3) old to new pixel coordinates, corner convention.
        size: (width, height) of the result.
        border: Colour outside of the image.
    """
    if np.allclose(A, np.eye(3)) and image.shape[1::-1] == tuple(size):
        return image
    factor = int(1 / np.sqrt(abs(np.linalg.det(A[:2, :2]))))
    if factor >= 2:
        height, width = image.shape[:2]
        small = (max(1, width // factor), max(1, height // factor))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        A = A @ np.diag([width / small[0], height / small[1], 1.0])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    shifted = np.linalg.inv(half) @ A @ half  # cv2 counts from the first pixel's centre
    return cv2.warpAffine(image, shifted[:2], size, borderValue=border)


def move_hand(results: dict, A: np.ndarray, size: tuple[int, int]) -> dict:
    """Apply an affine map to the image and the change of camera that goes with it; in place.

    Args:
        results: The sample.
        A: (3, 3) old to new pixels, determinant above 0.
        size: (width, height) of the new image.

    Returns:
        `results`, with `image_transform` (first to present pixels) and `camera_roll` (3, 3; first
        to present camera space; where K is not known, for square pixels) brought up to date.
    """
    results['img'] = warp_image(results['img'], A, size)
    results['img_shape'] = results['img'].shape[:2]
    _remember(results, A)
    K, roll = split_affine(A, results.get('K', np.eye(3)))
    if 'K' in results:
        results.setdefault('ori_K', results['K'])
        results['K'] = K.astype(np.float32)
    results['camera_roll'] = roll @ results.get('camera_roll', np.eye(3))
    for name in ('joints', 'vertices'):
        if name in results:
            results[name] = (results[name] @ roll.T).astype(np.float32)
    if 'global_orient' in results:
        results['global_orient'] = (roll @ results['global_orient']).astype(np.float32)
    return results


def mirror_hand(results: dict) -> dict:
    """Mirror image and hand left to right; in place.

    With M = diag(-1, 1, 1) in camera space, points become M X and rotations M R M, which is how
    `Mano(side='left')` is defined: a right hand becomes a left hand of the same betas.
    """
    width = results['img'].shape[1]
    results['img'] = np.ascontiguousarray(results['img'][:, ::-1])
    flip = np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]])
    mirror = np.diag([-1.0, 1.0, 1.0])
    _remember(results, flip)
    results['is_right'] = not results.get('is_right', True)
    if 'K' in results:
        results.setdefault('ori_K', results['K'])
        results['K'] = (flip @ results['K'] @ mirror).astype(np.float32)
    results['camera_roll'] = mirror @ results.get('camera_roll', np.eye(3))
    for name in ('joints', 'vertices'):
        if name in results:
            results[name] = (results[name] @ mirror).astype(np.float32)
    for name in ('global_orient', 'hand_pose'):
        if name in results:
            results[name] = (mirror @ results[name] @ mirror).astype(np.float32)
    return results


def _remember(results: dict, A: np.ndarray) -> None:
    results['image_transform'] = A @ results.get('image_transform', np.eye(3))


@TRANSFORMS.register_module()
class HandCrop:
    """Bring the hand to the network's square input: the whole image, or a box if there is one.

    Args:
        size: Side of the result, pixels.
        margin: The square's side is this times the longer side of the box `results['box']`
            (x, y, w, h in pixels), or of the image where there is no box.
    """

    def __init__(self, size: int = 224, margin: float = 1.0) -> None:
        self.size = size
        self.margin = margin

    def __call__(self, results: dict) -> dict:
        """Crop `results`, in place."""
        return self.crop(results)

    def crop(
        self,
        results: dict,
        angle: float = 0.0,
        zoom: float = 1.0,
        shift: np.ndarray | tuple[float, float] = (0.0, 0.0),
    ) -> dict:
        """Crop `results`, in place, with the content turned, magnified and shifted.

        Args:
            results: Of the pipeline.
            angle: Turn about the middle of the square, degrees, x towards y.
            zoom: Magnification.
            shift: In x and y, as a share of `size`.

        Raises:
            DataError: The box has no size.
        """
        height, width = results['img'].shape[:2]
        x, y, w, h = results.get('box', (0, 0, width, height))
        side = max(w, h) * self.margin
        if not side > 0:
            raise DataError(
                f'{results.get("img_path", "image")}: box: expected sides above 0, found {w} x {h}'
            )
        scale = self.size / side * zoom
        turn = np.deg2rad(angle)
        linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        A = np.eye(3)
        A[:2, :2] = linear
        A[:2, 2] = self.size * (0.5 + np.asarray(shift)) - linear @ (x + w / 2, y + h / 2)
        return move_hand(results, A, (self.size, self.size))

    def __repr__(self) -> str:
        settings = ', '.join(f'{k}={v}' for k, v in vars(self).items())
        return f'{type(self).__name__}({settings})'


@TRANSFORMS.register_module()
class RandomHandCrop(HandCrop):
    """`HandCrop`, turned, zoomed and shifted at random.

    Turning the content by an angle rolls the camera: K, points and the global rotation follow
    exactly (see `split_affine`). Zooming changes the focal length, not the hand's distance.

    Args:
        size, margin: As `HandCrop`.
        rotation: Largest angle, degrees, either way, uniform.
        zoom: Range of the magnification, drawn uniformly in its logarithm.
        shift: Largest shift in x and y as a share of `size`, uniform.
        prob: Share of samples that are changed at all.
    """

    def __init__(
        self,
        size: int = 224,
        margin: float = 1.0,
        rotation: float = 90.0,
        zoom: tuple[float, float] = (0.8, 1.25),
        shift: float = 0.1,
        prob: float = 1.0,
    ) -> None:
        super().__init__(size, margin)
        self.rotation = rotation
        self.zoom = zoom
        self.shift = shift
        self.prob = prob

    def __call__(self, results: dict) -> dict:
        """Crop `results`, in place."""
        if np.random.rand() >= self.prob:
            return self.crop(results)
        return self.crop(
            results,
            angle=np.random.uniform(-self.rotation, self.rotation),
            zoom=float(np.exp(np.random.uniform(*np.log(self.zoom)))),
            shift=np.random.uniform(-self.shift, self.shift, 2),
        )


@TRANSFORMS.register_module()
class RandomHandFlip:
    """Mirror image and hand; a right hand becomes a left one (`is_right` tells).

    A model of right hands needs it only to bring left hands to the right: `prob=1` for those.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def __call__(self, results: dict) -> dict:
        """Mirror `results`, in place."""
        return mirror_hand(results) if np.random.rand() < self.prob else results


@TRANSFORMS.register_module()
class RandomHandBackground:
    """Put another photograph behind hands that were recorded before a green screen.

    Only samples with `mask_path` change: `FreiHAND` gives it to images of the version `gs`.
    Goes before the crop, which moves hand and background together.

    Args:
        folder: Photographs (.jpg, .png), searched with its subfolders.
        prob: Share of those samples that change.
    """

    def __init__(self, folder: str, prob: float = 0.5) -> None:
        self.prob = prob
        paths = Path(folder).rglob('*')
        self.images = sorted(str(p) for p in paths if p.suffix.lower() in ('.jpg', '.jpeg', '.png'))
        if not self.images:
            raise MissingFileError(f'{folder}: expected photographs (.jpg, .png), found none')

    def __call__(self, results: dict) -> dict:
        """Replace the background of `results`, in place."""
        if not results.get('mask_path') or np.random.rand() >= self.prob:
            return results
        image = results['img']
        mask = read_image(results['mask_path'], 'grayscale')
        if mask.shape != image.shape[:2]:
            raise DataError(
                f'{results["mask_path"]}: expected a mask of {image.shape[:2]}, found {mask.shape}'
            )
        photo = read_image(self.images[np.random.randint(len(self.images))])
        alpha = cv2.blur((mask > MASK_THRESHOLD).astype(np.float32), (3, 3))[..., None]
        behind = _random_patch(photo, image.shape[:2])
        results['img'] = (alpha * image + (1 - alpha) * behind).astype(np.uint8)
        return results


def _random_patch(photo: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A square of random place and size, at least half the photograph's shorter side."""
    height, width = photo.shape[:2]
    side = max(1, int(min(height, width) * np.random.uniform(0.5, 1.0)))
    y, x = np.random.randint(height - side + 1), np.random.randint(width - side + 1)
    return cv2.resize(photo[y : y + side, x : x + side], shape[::-1], interpolation=cv2.INTER_AREA)


@TRANSFORMS.register_module()
class RandomHandColor:
    """Change each colour channel's brightness and the contrast, and add noise.

    Args:
        channel: Each channel is multiplied by 1 - `channel` to 1 + `channel` (METRO: 0.4).
        contrast: Range of the contrast about the mean, as a share.
        noise: Largest standard deviation of the pixel noise, of 255.
    """

    def __init__(self, channel: float = 0.4, contrast: float = 0.2, noise: float = 6.0) -> None:
        self.channel = channel
        self.contrast = contrast
        self.noise = noise

    def __call__(self, results: dict) -> dict:
        """Change `results['img']`."""
        image = results['img'].astype(np.float32)
        image *= np.random.uniform(1 - self.channel, 1 + self.channel, 3).astype(np.float32)
        mean = image.mean()
        image = mean + (image - mean) * np.float32(1 + np.random.uniform(-1, 1) * self.contrast)
        if self.noise:
            deviation = np.float32(np.random.uniform(0, self.noise))
            pattern = np.random.default_rng(np.random.randint(2**31))
            image += deviation * pattern.standard_normal(image.shape, np.float32)
        results['img'] = image.clip(0, 255).round().astype(np.uint8)
        return results


@TRANSFORMS.register_module()
class RandomHandOcclusion:
    """Cover part of the image with an ellipse or a box of one colour or of other image content.

    After Zhong et al., "Random Erasing Data Augmentation"; the annotations stay as they are.

    Args:
        prob: Share of samples that change.
        area: Range of the covered share of the image.
    """

    def __init__(self, prob: float = 0.4, area: tuple[float, float] = (0.02, 0.12)) -> None:
        self.prob = prob
        self.area = area

    def __call__(self, results: dict) -> dict:
        """Change `results['img']`."""
        if np.random.rand() >= self.prob:
            return results
        image = results['img']
        height, width = image.shape[:2]
        area = np.random.uniform(*self.area) * height * width
        aspect = np.exp(np.random.uniform(-1, 1))
        h = int(np.clip(np.sqrt(area * aspect), 1, height))
        w = int(np.clip(np.sqrt(area / aspect), 1, width))
        (y, from_y), (x, from_x) = (
            np.random.randint(0, whole - part + 1, 2) for whole, part in ((height, h), (width, w))
        )
        cover = np.zeros((h, w, 1), np.uint8)
        if np.random.rand() < 0.5:
            cv2.ellipse(cover, (w // 2, h // 2), (w // 2, h // 2), 0, 0, 360, 1, -1)
        else:
            cover[:] = 1
        patch = image[from_y : from_y + h, from_x : from_x + w]
        if np.random.rand() < 0.5:
            patch = np.random.randint(0, 256, (1, 1, 3)).astype(np.uint8)
        image = image.copy()
        here = image[y : y + h, x : x + w]
        image[y : y + h, x : x + w] = np.where(cover > 0, patch, here)
        results['img'] = image
        return results


@TRANSFORMS.register_module()
class PackHandInputs:
    """Pack a sample into `inputs` (3, H, W) uint8 BGR and a data sample.

    The data sample carries `META_FIELDS` as meta information (arrays stay NumPy arrays) and, where
    anything is known of the hand, `gt_hand` with float32 tensors.
    """

    def __call__(self, results: dict) -> dict:
        """Return `dict(inputs=..., data_samples=...)`."""
        meta = {name: results[name] for name in META_FIELDS if name in results}
        sample = BaseDataElement(metainfo=meta)
        known = [name for name in GT_FIELDS if name in results]
        if known:
            sample.gt_hand = BaseDataElement()
            for name in known:
                value = torch.from_numpy(np.array(results[name], np.float32))
                setattr(sample.gt_hand, name, value)
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        return {'inputs': torch.from_numpy(image), 'data_samples': sample}
