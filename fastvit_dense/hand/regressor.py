"""HandMeshRegressor: image of a right hand to MANO parameters, and the mesh before the camera."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor

from ..errors import ConfigError, DataError
from .camera import (
    ROOT,
    assumed_camera,
    camera_problem,
    project,
    root_position,
    size_ratio,
    to_unit,
)
from .heads import HandParameters
from .losses import HandMeshLoss
from .mano import Mano
from .mano_io import read_mano
from .rotations import mirror_rotations
from .standin import standin_mano

ROTATIONS_AND_SHAPE = ('global_orient', 'hand_pose', 'betas')


@MODELS.register_module()
class HandMeshRegressor(BaseModel):
    """Backbone, optional neck and a MANO head, over one square crop with one right hand.

    Modes as OpenMMLab's: `loss` (dict of losses), `predict` (data samples with `pred_hand`),
    `tensor` (the head's last `~fastvit_dense.hand.heads.HandParameters`).

    Data samples carry in their meta information `K` (3, 3) of the input, and `scale` and
    `camera_roll` as far as they are known, in `gt_hand` `joints`, `vertices` and as far as known
    `global_orient`, `hand_pose`, `betas`. Predictions are in the camera space of the original
    image, in metres: `joints` (21, 3), `vertices` (778, 3), `global_orient` (3, 3), `hand_pose`
    (15, 3, 3), `betas` (10,), `transl` (3,), so that
    `Mano(global_orient, hand_pose, betas, transl)` gives the vertices. Where the input was
    mirrored, they are those of a left hand; meta `is_right` then is False, and True elsewhere. A
    sample without K gets an assumed one (meta `K`, and `K_assumed` True): its depth is then a
    guess.

    Args:
        backbone: Registered backbone.
        head: `ManoHead` or `ManoTokenHead`.
        mano: `dict(path='data/mano/MANO_RIGHT.pkl')` (or an .npz), or `dict(standin=True)`.
        neck: Registered neck, for instance mmdet's FPN.
        loss_weights: Changes to `losses.DEFAULT_WEIGHTS`.
        use_scale: At test time, give the predicted hand the true length of its middle phalanx
            (FreiHAND's `*_scale.json`, which its protocol allows); this fixes the depth too. No
            aligned score changes. `transl` is then left out, because MANO alone does not give
            this size.
        data_preprocessor: mmengine's `ImgDataPreprocessor`.
        init_cfg: mmengine's.

    Attributes:
        mano: The hand layer, right hand; its arrays never enter a checkpoint.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        mano: Mapping,
        neck: dict | None = None,
        loss_weights: Mapping[str, float] | None = None,
        use_scale: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck) if neck else None
        self.head = MODELS.build(head)
        self.mano = build_mano(mano)
        self.criterion = HandMeshLoss(loss_weights)
        self.use_scale = use_scale

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Tensor] | list[BaseDataElement] | HandParameters:
        """Run one mode.

        Args:
            inputs: (B, 3, W, W), normalised.
            data_samples: One per image; needed for `loss` and `predict`.
            mode: `loss`, `predict` or `tensor`.

        Raises:
            ValueError: Another mode, or no samples where they are needed.
            DataError: An input that is not square, a sample without annotations in `loss`, or a
                K that no camera has.
        """
        if mode not in ('loss', 'predict', 'tensor'):
            raise ValueError(f"mode: expected 'loss', 'predict' or 'tensor', found {mode!r}")
        if inputs.shape[2] != inputs.shape[3]:
            raise DataError(f'inputs: expected square images, found {tuple(inputs.shape[2:])}')
        features = self.backbone(inputs)
        if self.neck is not None:
            features = self.neck(features)
        stages = self.head(features, self.mano)
        if mode == 'tensor':
            return stages[-1]
        if data_samples is None:
            raise ValueError(f'data_samples: mode {mode!r} needs one per image, found None')
        K = _cameras(data_samples, inputs)
        if mode == 'loss':
            return self._loss(stages, data_samples, K, inputs.shape[3])
        return self._predict(stages[-1], data_samples, K, inputs.shape[3])

    def place(self, hand: HandParameters, K: Tensor, width: int) -> dict[str, Tensor]:
        """The hand before the camera.

        Args:
            hand: Predicted parameters.
            K: (B, 3, 3) of the network's input.
            width: Of the input, pixels.

        Returns:
            `vertices` (B, 778, 3), `joints` (B, 21, 3), `transl` (B, 3): metres, camera space.
        """
        out = self.mano(hand.global_orient, hand.hand_pose, hand.betas)
        transl = root_position(hand.camera, K, width) - out.joints[:, ROOT]
        shift = transl[:, None]
        return {'vertices': out.vertices + shift, 'joints': out.joints + shift, 'transl': transl}

    def _loss(
        self, stages: list[HandParameters], samples: list[BaseDataElement], K: Tensor, width: int
    ) -> dict[str, Tensor]:
        target = _targets(samples, K.device)
        target['image_joints'] = to_unit(project(target['joints'], K), width)
        losses = {}
        for number, hand in enumerate(stages):
            placed = self.place(hand, K, width)
            pred = {**{k: v for k, v in hand._asdict().items() if v is not None}, **placed}
            pred['image_joints'] = to_unit(project(placed['joints'], K), width)
            last = number == len(stages) - 1
            if not last:
                pred.pop('keypoints', None)  # the same in every stage: once is enough
            prefix = '' if last else f'stage{number}.'
            for name, value in self.criterion(pred, target, self.mano.faces).items():
                losses[prefix + name] = value
        return losses

    def _predict(
        self, hand: HandParameters, samples: list[BaseDataElement], K: Tensor, width: int
    ) -> list[BaseDataElement]:
        placed = self.place(hand, K, width)
        wrist = self.mano.wrist(hand.betas)
        if self.use_scale:
            scale = _scales(samples, K.device)
            ratio = size_ratio(placed['joints'], scale)[:, None, None]
            placed = {name: placed[name] * ratio for name in ('vertices', 'joints')}
        for i, sample in enumerate(samples):
            found = {name: value[i] for name, value in placed.items()}
            found.update({name: getattr(hand, name)[i] for name in ROTATIONS_AND_SHAPE})
            roll = sample.metainfo.get('camera_roll')
            # whose parameters these are: the model's own hand, the right one, unless mirrored back
            sample.set_metainfo({'is_right': roll is None or bool(np.linalg.det(roll) > 0)})
            if roll is not None and not np.allclose(roll, np.eye(3), atol=1e-6):
                roll = torch.as_tensor(np.asarray(roll), dtype=K.dtype, device=K.device)
                found = undo_roll(found, wrist[i], roll)
            sample.pred_hand = BaseDataElement(**found)
        return samples


def undo_roll(hand: dict[str, Tensor], wrist: Tensor, roll: Tensor) -> dict[str, Tensor]:
    """Take one hand from the camera space of the network's input to that of the original image.

    Args:
        hand: What `predict` collects, in the space of the input.
        wrist: (3,) MANO's wrist joint in rest pose for these betas.
        roll: (3, 3) orthogonal Q, original to input camera space; a reflection where the image
            was mirrored. The hand is then the mirror image and its parameters those of
            `Mano(side='left')`.
    """
    back = roll.T
    moved = {name: hand[name] @ roll for name in ('vertices', 'joints')}
    orient, pose = hand['global_orient'], hand['hand_pose']
    rest_wrist = wrist
    if torch.det(roll) < 0:
        mirror = torch.diag(roll.new_tensor([-1.0, 1.0, 1.0]))
        orient = back @ mirror @ mirror_rotations(orient)
        pose = mirror_rotations(pose)
        rest_wrist = mirror @ wrist
    else:
        orient = back @ orient
    moved.update(global_orient=orient, hand_pose=pose, betas=hand['betas'])
    if 'transl' in hand:  # the wrist, about which MANO turns, moves from wrist + transl
        moved['transl'] = back @ (wrist + hand['transl']) - rest_wrist
    return moved


def build_mano(mano: Mapping) -> Mano:
    """The hand layer of `dict(path=...)` or `dict(standin=True)`.

    Raises:
        ConfigError: Neither or both are given.
        MissingFileError, ManoFileError: See `read_mano`.
    """
    given = mano if isinstance(mano, Mapping) else {}
    path, standin = given.get('path'), given.get('standin', False)
    if given.keys() - {'path', 'standin'} or bool(path) == bool(standin):
        hint = '; a config that inherits one and wants the other adds _delete_=True to the dict'
        raise ConfigError(
            "model.mano: expected dict(path='data/mano/MANO_RIGHT.pkl') or dict(standin=True), "
            f'found {dict(given) if given else mano}{hint if path and standin else ""}'
        )
    return Mano(read_mano(Path(path)) if path else standin_mano())


def _name(sample: BaseDataElement, number: int) -> str:
    return str(sample.metainfo.get('img_path') or f'sample {number} of the batch')


def _cameras(samples: list[BaseDataElement], inputs: Tensor) -> Tensor:
    """K of every sample, (B, 3, 3); where there is none, the assumed one, noted in the sample."""
    cameras = []
    for number, sample in enumerate(samples):
        K = sample.metainfo.get('K')
        if K is None:
            K = assumed_camera(inputs.shape[3]).numpy()
            sample.set_metainfo({'K': K, 'K_assumed': True})
        K = np.asarray(K, np.float32)
        problem = camera_problem(K) if K.shape == (3, 3) else f'expected 3 x 3, found {K.shape}'
        if problem:
            raise DataError(f'{_name(sample, number)}: K: {problem}')
        cameras.append(K)
    return torch.from_numpy(np.stack(cameras)).to(inputs.device)


def _scales(samples: list[BaseDataElement], device: torch.device) -> Tensor:
    for number, sample in enumerate(samples):
        if not (sample.metainfo.get('scale') or 0) > 0:
            raise DataError(
                f'{_name(sample, number)}: scale: use_scale needs the length of the middle '
                f'phalanx in metres, found {sample.metainfo.get("scale")}'
            )
    return torch.tensor([float(s.metainfo['scale']) for s in samples], device=device)


def _targets(samples: list[BaseDataElement], device: torch.device) -> dict[str, Tensor]:
    """Annotations of the batch; rotations and betas only if all samples have them."""
    for number, sample in enumerate(samples):
        hand = sample.get('gt_hand')
        missing = [n for n in ('joints', 'vertices') if hand is None or n not in hand]
        if missing:
            raise DataError(
                f'{_name(sample, number)}: gt_hand: training needs joints and vertices, '
                f'missing {", ".join(missing)}'
            )
        if not sample.metainfo.get('is_right', True):
            raise DataError(
                f'{_name(sample, number)}: is_right: the model learns right hands only; bring left '
                'hands to the right with RandomHandFlip(prob=1)'
            )
    names = [
        name
        for name in ('joints', 'vertices', *ROTATIONS_AND_SHAPE)
        if all(name in sample.gt_hand for sample in samples)
    ]
    return {
        name: torch.stack([getattr(s.gt_hand, name) for s in samples]).to(device) for name in names
    }
