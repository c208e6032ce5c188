"""3D hand mesh: MANO's parameters from one image, scored as FreiHAND does."""

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from PIL import Image
from torch import Tensor, nn

from ..config.loaders import datasets_of
from ..errors import MissingFileError
from ..evaluation.report.presentation import Presentation
from ..evaluation.report.references import HAND
from ..graphs.agreement import Line, Pair, compare_elements
from ..graphs.common import Normalize
from ..graphs.inputs import normalized
from ..hand.camera import ROOT, project
from ..hand.mano import Mano
from ..results.hand import HandResult
from ..results.smoothing import HandSmoother
from .base import Pictures, Task
from .sample import SAMPLE_ROOT, Schedule, grow_layer_scales, schedule_of, shorten, split_loaders

HAND_SIZE = 64
VARYING = ('RandomHandColor', 'RandomHandOcclusion')
# By backbone, so that training stays under four minutes on two CPU cores; None: any other.
SCHEDULES = {
    't8': Schedule(4, 1600, 16, 1e-3),
    'sa12': Schedule(3, 1600, 16, 1e-3),
    'sa24': Schedule(2, 1600, 16, 1e-3),
    's': Schedule(2, 1600, 16, 1e-3),
    None: Schedule(1, 1600, 16, 1e-3),
}


class HandTask(Task):
    """Hand regressors of this package, on FreiHAND."""

    name = 'hand'
    dataset_base = 'FreiHAND'
    presentation = Presentation(
        title='3D hand mesh',
        headlines=('PA-MPJPE', 'PA-MPVPE', 'f_al_score_5', 'f_al_score_15'),
        columns=HAND.metrics,
        class_word='joint',
        sample_score='error {:.1f} mm',
        sample_sign=-1,
    )
    official_datasets = {'FreiHAND': 'FreiHAND'}
    published = HAND
    macs_size = (224, 224)
    square_images = True
    has_mano = True
    demo_config = 'handmesh_fastvit_t8'
    counted = 'joints within the picture'

    def result(
        self,
        sample: Any,
        image: np.ndarray,
        model: Any,
        classes: tuple[str, ...],
        palette: Any,
    ) -> HandResult:
        """The mesh in the camera of the picture; see `Task.result`."""
        hand = sample.pred_hand.cpu()
        arrays = {
            name: getattr(hand, name).numpy()
            for name in ('joints', 'vertices', 'global_orient', 'hand_pose', 'betas')
        }
        mano = model.mano
        # K of the network's input and the way there from the picture give K of the picture
        to_input = sample.metainfo.get('image_transform', np.eye(3))
        roll = sample.metainfo.get('camera_roll', np.eye(3))
        K = np.linalg.inv(to_input) @ np.asarray(sample.metainfo['K']) @ roll
        is_right = bool(sample.metainfo.get('is_right', True))
        faces = mano.faces if is_right else mano.faces.flip(1)
        return HandResult(
            **arrays,
            faces=faces.cpu().numpy(),
            K=K.astype(np.float32),
            hand_model=mano.name,
            image=image,
            is_right=is_right,
        )

    def smoother(self) -> Callable[[HandResult, float], HandResult]:
        """See `Task.smoother`."""
        return HandSmoother()

    def draw(
        self, cfg: Config, dataset: ConfigDict, ids: Iterable[Any], predictions: Path
    ) -> Pictures:
        """See `Task.draw`; the ids are numbers of images, `cfg.model.mano` names the faces."""
        from ..datasets.loading import read_image
        from ..evaluation.hand import read_saved_hands
        from ..evaluation.label_maps import build_lazily
        from ..hand.regressor import build_mano
        from ..visualization.hand import draw_hand

        built = build_lazily(dataset)
        rows = {number: row for row, number in enumerate(sorted(built.image_numbers()))}
        joints, vertices = read_saved_hands(predictions, list(rows))
        mano = build_mano(cfg.model.mano)
        faces = mano.faces.numpy() if vertices.shape[1] == len(mano.v_template) else None
        for number in ids:
            known = built.describe(number)
            image_path = Path(known['img_path'])
            if not image_path.is_file():
                raise FileNotFoundError(errno.ENOENT, 'no such image', str(image_path))
            picture = draw_hand(
                read_image(str(image_path))[..., ::-1],
                known['K'],
                joints[rows[number]],
                vertices[rows[number]],
                faces,
                known.get('vertices'),
                mano.name if mano.is_standin else '',
            )
            yield image_path.name, picture

    def draw_input(
        self, image: np.ndarray, sample: Any, classes: Sequence[str], palette: Any
    ) -> tuple[Image.Image, Counter[str]]:
        """Bones and joints, where the annotation has them; see `Task.draw_input`."""
        from ..visualization.hand import FINGERS, draw_joints

        joints = sample.get('gt_hand', {}).get('joints')
        if joints is None or 'K' not in sample.metainfo:
            return Image.fromarray(image), Counter()
        uv = project(joints.numpy(), np.asarray(sample.metainfo['K']))
        inside = ((uv >= 0) & (uv <= image.shape[1::-1])).all(1)
        per_finger = inside[1:].reshape(len(FINGERS), 4).sum(1).tolist()
        return draw_joints(image, uv), Counter(dict(zip(FINGERS, per_finger, strict=True)))

    def legend(self, classes: Sequence[str], palette: Any) -> dict[str, tuple[int, int, int]]:
        """The fingers; see `Task.legend`."""
        from ..visualization.hand import FINGERS

        return dict(FINGERS)

    def protocol(self, cfg: Config) -> dict[str, Any]:
        """Tell of the stand-in hand, and what the mean pose would score."""
        errors = _errors_of_mean_pose(cfg)
        found = {}
        if _has_standin(cfg):
            found['hand_model'] = 'stand-in, not MANO'
        if errors:
            found['mean_pose'] = ', '.join(f'{k} {v:.2f} mm' for k, v in errors.items())
        return found

    def make_sample_data(self, root: str | Path, force: bool = False) -> None:
        """Write `freihand` into the folder of the sample data."""
        from ..datasets.sample.hands import make_sample_hands

        make_sample_hands(root, force=force)

    def use_sample_data(self, cfg: Config) -> None:
        """See `Task.use_sample_data`."""
        self.make_sample_data(SAMPLE_ROOT)
        root = SAMPLE_ROOT / 'freihand'
        for loader, split in split_loaders(train='training', val='evaluation'):
            for dataset in datasets_of(cfg, [loader]):
                dataset.update(
                    data_root=str(root),
                    ann_file='',
                    data_prefix=ConfigDict(),
                    mano='standin',
                    split=split,
                    portion='all',
                )
        for dataset in datasets_of(cfg):
            simplify_hands(dataset.pipeline)
        cfg.model.mano = dict(standin=True)
        for part in (cfg.model.backbone, cfg.model.head):
            part.update({key: 0.0 for key in ('drop_path_rate', 'dropout') if key in part})
        # a mean over thousands of steps is still the random start after a hundred
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook['type'] != 'EMAHook']
        shorten(cfg, schedule_of(cfg, SCHEDULES))
        grow_layer_scales(cfg)

    def input_size(self, cfg: Config) -> tuple[int, int]:
        """Side of the crop, twice."""
        dataset = next(datasets_of(cfg, ('test_dataloader', 'val_dataloader', 'train_dataloader')))
        side = next((s['size'] for s in dataset.pipeline if s['type'] == 'HandCrop'), 224)
        return side, side

    def graph(self, normalize: Normalize, model: Any, with_mano: bool = False) -> nn.Module:
        """See `Task.graph`."""
        from ..graphs.hand import HandGraph

        return HandGraph(normalize, model, with_mano)

    @torch.inference_mode()
    def expected_outputs(self, model: Any, image: np.ndarray) -> dict[str, np.ndarray]:
        """Parameters, mesh and, where the head has them, its numbers."""
        inputs = normalized(model, image)
        hand = model(inputs, mode='tensor')
        mesh = model.mano(hand.global_orient, hand.hand_pose, hand.betas)
        root = mesh.joints[:, ROOT, None]
        found = {**hand._asdict(), 'vertices': mesh.vertices - root, 'joints': mesh.joints - root}
        if hasattr(model.head, 'numbers'):
            found['numbers'] = model.head.numbers(model.backbone(inputs))
        return {name: value.numpy() for name, value in found.items() if value is not None}

    def post_processing(self, network: Any, model: ConfigDict) -> nn.Module:
        """See `Task.post_processing`."""
        return _PlaceHands(network, model)

    def compare(self, pairs: Sequence[Pair]) -> Iterator[Line]:
        """See `Task.compare`."""
        yield from compare_elements(pairs, 'pred_hand')


class _PlaceHands(nn.Module):
    """A `HandMeshRegressor` whose network, backbone included, is a file."""

    def __init__(self, network: Any, model: ConfigDict) -> None:
        super().__init__()
        from ..hand.regressor import HandMeshRegressor

        self.regressor = HandMeshRegressor(
            backbone=dict(type=nn.Identity),
            head=dict(type=_HandFile, network=network),
            mano=model['mano'],
            use_scale=model.get('use_scale', False),
        )

    @property
    def mano(self) -> nn.Module:
        """The hand layer."""
        return self.regressor.mano

    def forward(self, images: list[Tensor], data_samples: list[Any]) -> list[Any]:
        return self.regressor(torch.cat(images), data_samples, mode='predict')


class _HandFile(nn.Module):
    """The head of a `HandMeshRegressor` whose network, backbone included, is a file."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, mano: Mano) -> list:
        """Parameters of RGB images (B, 3, W, W), one stage."""
        from ..hand.heads import HandParameters, decode

        outputs = self.network.each([image[None].numpy() for image in images])
        found = {
            name: torch.from_numpy(np.concatenate([output[name] for output in outputs]))
            for name in outputs[0]
        }
        if 'numbers' in found:
            return [decode(found['numbers'], mano)]
        return [HandParameters(**{n: found[n] for n in HandParameters._fields if n in found})]


def simplify_hands(pipeline: list[dict]) -> None:
    """Smaller images, whole and in their own colours: what varies takes hours to learn."""
    pipeline[:] = [step for step in pipeline if step['type'] not in VARYING]
    for step in pipeline:
        if step['type'] in ('HandCrop', 'RandomHandCrop'):
            step.clear()
            step.update(type='HandCrop', size=HAND_SIZE)


def _has_standin(cfg: Config) -> bool:
    """Tell whether the stand-in hand made the predictions or the truth."""
    datasets = datasets_of(cfg, ['test_dataloader'])
    return bool((cfg.model.get('mano') or {}).get('standin')) or any(
        dataset.get('mano') == 'standin' for dataset in datasets
    )


def _errors_of_mean_pose(cfg: Config) -> dict[str, float] | None:
    """Errors of the mean pose; None without MANO's file, or where the truth is not here."""
    from ..evaluation.label_maps import build_lazily
    from ..evaluation.mean_pose import mean_pose_errors
    from ..hand.regressor import build_mano

    dataset = build_lazily(next(datasets_of(cfg, ['test_dataloader'])))
    truth = dataset.annotations
    if not cfg.model.get('mano') or 'xyz' not in truth or 'verts' not in truth:
        return None
    try:
        hand = build_mano(cfg.model.mano)
    except MissingFileError:
        return None
    numbers = [number % len(truth['xyz']) for number in sorted(dataset.image_numbers())]
    return mean_pose_errors(truth['xyz'][numbers], truth['verts'][numbers], hand)
