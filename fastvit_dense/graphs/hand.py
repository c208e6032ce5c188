"""Hand models as graphs."""

from torch import Tensor, nn

from ..errors import ExportError
from ..hand.camera import ROOT
from .common import Normalize


class HandGraph(nn.Module):
    """Images of right hands to MANO's parameters, and to their meshes where asked for.

    Outputs `global_orient` (B, 3, 3), `hand_pose` (B, 15, 3, 3), `betas` (B, 10), `camera` (B, 3)
    as in `hand.heads.HandParameters`; with the mesh `vertices` (B, 778, 3) and `joints` (B, 21, 3),
    metres, relative to the root joint. Where MANO's data must stay out, `numbers` (B, 109) alone,
    which `hand.heads.decode` turns into parameters with the user's own MANO file: even the mean
    pose from which the fingers start is MANO's.

    Args:
        normalize: In front.
        model: `HandMeshRegressor` in eval mode.
        with_mano: Put the model's hand inside.

    Attributes:
        mano: Whose hand is inside: 'none', or the name of the hand model.

    Raises:
        ExportError: The head needs MANO's surface, and it must stay out.
    """

    takes_batches = True

    def __init__(self, normalize: Normalize, model: nn.Module, with_mano: bool) -> None:
        super().__init__()
        self.normalize = normalize
        self.model = model
        self.with_mesh = with_mano
        self.raw = not (with_mano or model.mano.is_standin)
        if self.raw and not hasattr(model.head, 'numbers'):
            raise ExportError(
                f'{type(model.head).__name__} looks at the image where the hand surface is, so its '
                "file holds MANO's arrays: add --with-mano, and keep the file to yourself"
            )
        self.mano = 'none' if self.raw else model.mano.name
        if self.raw:
            self.output_names = ('numbers',)
        else:
            self.output_names = ('global_orient', 'hand_pose', 'betas', 'camera')
            if self.with_mesh:
                self.output_names += ('vertices', 'joints')

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Images (B, 3, W, W) to the outputs named above."""
        features = self.model.backbone(self.normalize(image))
        if self.model.neck is not None:
            features = self.model.neck(features)
        if self.raw:
            return self.model.head.numbers(features)
        hand = self.model.head(features, self.model.mano)[-1]
        outputs = hand[:4]
        if self.with_mesh:
            mesh = self.model.mano(hand.global_orient, hand.hand_pose, hand.betas)
            root = mesh.joints[:, ROOT, None]
            outputs += (mesh.vertices - root, mesh.joints - root)
        return outputs
