"""Hand poses in every form that datasets and other programs use; rotation matrices are the hub.

MANO's 15 hand joints appear in the wild as

=============== ============= ==================================================================
form            last sizes    meaning
=============== ============= ==================================================================
`matrix`      15, 3, 3      full rotations: what `~fastvit_dense.hand.Mano` takes
`axis_angle`  45            full rotations, radians (smplx `flat_hand_mean=True`, HO-3D)
`freihand`    45            axis-angle *offsets to the hand mean* (FreiHAND; smplx
                              `flat_hand_mean=False, use_pca=False`)
`pca`         1 to 45       coefficients of the first rows of `hands_components`, around the
                              hand mean (smplx `use_pca=True`, DexYCB)
`6d`          15, 6         first two *rows* of each matrix (PyTorch3D)
`6d_columns`  15, 6         first two *columns*, in turn (HaMeR; SPIN interleaves them)
`quaternion`  15, 4         real part first (PyTorch3D)
=============== ============= ==================================================================

Only `freihand` and `pca` involve the hand mean; it is added exactly once, here, so they need
the ManoModel. Axis-angle sums above pi come back as the equivalent rotation below pi.
"""

import torch
from torch import Tensor
from torch.nn import functional

from .mano import ManoModel

NO_LENGTH = 1e-7  # shorter rows of a 6D rotation are zero
PARALLEL = 1e-5  # sine of the angle below which two rows are parallel
FORMS = ('matrix', 'axis_angle', 'freihand', 'pca', '6d', '6d_columns', 'quaternion')


def convert_pose(pose: Tensor, source: str, target: str, model: ManoModel | None = None) -> Tensor:
    """Convert hand poses from one form of the table above to another.

    Args:
        pose: (..., sizes of the source form).
        source: Form of `pose`.
        target: Wanted form. `pca` gives all 45 coefficients.
        model: Whose hand mean and components to use; needed for `freihand` and `pca`.

    Returns:
        (..., sizes of the target form), of the same type and device.

    Raises:
        ValueError: An unknown form, a wrong shape, or no model where one is needed.
    """
    return pose_from_matrix(pose_to_matrix(pose, source, model), target, model)


def pose_to_matrix(pose: Tensor, form: str, model: ManoModel | None = None) -> Tensor:
    """Rotation matrices (..., 15, 3, 3) of a pose; see `convert_pose`."""
    from pytorch3d import transforms

    _check_form(form)
    sizes = {'matrix': (15, 3, 3), '6d': (15, 6), '6d_columns': (15, 6), 'quaternion': (15, 4)}
    expected = sizes.get(form, (45,))
    found = tuple(pose.shape[-len(expected) :])
    if found != expected and not (form == 'pca' and pose.ndim > 0 and 1 <= pose.shape[-1] <= 45):
        raise ValueError(f'{form} pose: expected last sizes {expected}, found {tuple(pose.shape)}')
    if form == 'matrix':
        return pose
    if form == '6d':
        return rotation_6d_to_matrix(pose)
    if form == '6d_columns':
        return rotation_6d_to_matrix(pose).transpose(-1, -2)
    if form == 'quaternion':
        return transforms.quaternion_to_matrix(functional.normalize(pose, dim=-1))
    if form in ('pca', 'freihand'):
        hand = _known(model, form)
        if form == 'pca':
            pose = pose @ _like(pose, hand.hands_components[: pose.shape[-1]])
        pose = pose + _like(pose, hand.hands_mean)
    return transforms.axis_angle_to_matrix(pose.unflatten(-1, (15, 3)))


def pose_from_matrix(rotations: Tensor, form: str, model: ManoModel | None = None) -> Tensor:
    """A pose in another form from rotation matrices (..., 15, 3, 3); see `convert_pose`."""
    from pytorch3d import transforms

    _check_form(form)
    if rotations.shape[-3:] != (15, 3, 3):
        raise ValueError(
            f'rotations: expected last sizes (15, 3, 3), found {tuple(rotations.shape)}'
        )
    if form == 'matrix':
        return rotations
    if form == '6d':
        return transforms.matrix_to_rotation_6d(rotations)
    if form == '6d_columns':
        return transforms.matrix_to_rotation_6d(rotations.transpose(-1, -2))
    if form == 'quaternion':
        return transforms.matrix_to_quaternion(rotations)
    pose = transforms.matrix_to_axis_angle(rotations).flatten(-2)
    if form in ('pca', 'freihand'):
        hand = _known(model, form)
        pose = pose - _like(pose, hand.hands_mean)
        if form == 'pca':
            pose = pose @ _like(pose, hand.hands_components).transpose(0, 1)
    return pose


def rotation_6d_to_matrix(rotation_6d: Tensor) -> Tensor:
    """Gram-Schmidt on two rows (PyTorch3D's convention) with plain, exportable operations.

    Zhou et al.: "On the Continuity of Rotation Representations in Neural Networks", CVPR 2019.
    Where a row says nothing (zero, or the second one parallel to the first), a fixed axis takes
    its place: the result is a rotation, and the gradient finite, for all finite numbers.

    Args:
        rotation_6d: (..., 6), any length.

    Returns:
        (..., 3, 3) rotation matrices.
    """
    axes = torch.eye(3, dtype=rotation_6d.dtype, device=rotation_6d.device)  # nothing is copied
    x_axis, y_axis = axes[0], axes[1]
    first, second = rotation_6d[..., :3], rotation_6d[..., 3:]
    zero = (first.norm(dim=-1, keepdim=True) < NO_LENGTH).to(first)
    first = functional.normalize(first + zero * x_axis, dim=-1)
    length = second.norm(dim=-1, keepdim=True)
    second = second - (first * second).sum(-1, keepdim=True) * first
    left = second.norm(dim=-1, keepdim=True)
    parallel = (left < PARALLEL * length + NO_LENGTH).to(first)
    along_x = (first[..., :1].abs() > 0.9).to(first)
    across = along_x * y_axis + (1 - along_x) * x_axis
    second = second + parallel * (1 + length.detach()) * across
    # once more: what rounding left along the first row weighs where little else is left
    second = second - (first * second).sum(-1, keepdim=True) * first
    second = functional.normalize(second, dim=-1)
    ax, ay, az = first.unbind(-1)
    bx, by, bz = second.unbind(-1)
    third = torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], dim=-1)
    return torch.stack([first, second, third], dim=-2)


def mirror_rotations(rotations: Tensor) -> Tensor:
    """Rotations (..., 3, 3) of the mirror image in x = 0, M R M: right to left hands and back."""
    mirror = rotations.new_tensor([-1.0, 1.0, 1.0])
    return rotations * mirror * mirror[:, None]


def _like(tensor: Tensor, array: object) -> Tensor:
    return torch.as_tensor(array, dtype=tensor.dtype, device=tensor.device)


def _check_form(form: str) -> None:
    if form not in FORMS:
        raise ValueError(f'form of a pose: expected one of {", ".join(FORMS)}, found {form!r}')


def _known(model: ManoModel | None, form: str) -> ManoModel:
    if model is None:
        raise ValueError(f'{form} poses are relative to the hand mean: pass the ManoModel')
    return model
