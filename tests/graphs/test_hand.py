"""What of MANO gets into a graph: nothing, unless asked for."""

import numpy as np
import onnxruntime
import pytest

from fastvit_dense.deploy.export import trace
from fastvit_dense.deploy.job import prepare
from fastvit_dense.errors import ExportError
from fastvit_dense.hand import standin_mano
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming
from tests.hand.saving import write_mano

pytestmark = pytest.mark.integration


def test_nothing_of_mano_without_being_asked(tiny_hand, random_hand, tmp_path):
    """A hand that is not the stand-in stays out: raw numbers, which the user's MANO decodes."""
    model = standin_mano(seed=5)
    mine = tmp_path / 'MANO_RIGHT.npz'
    write_mano(mine, model)
    options = {'model.mano': dict(path=str(mine))}
    cfg = load_config(tiny_hand, cfg_options=options)
    cfg.model.mano = dict(path=str(mine))
    job = prepare(cfg, random_hand)
    assert job.graph.output_names == ('numbers',)
    assert job.description.mano == 'none'
    content = trace(job).SerializeToString()
    mean = job.predictor.model.mano.mean_pose.numpy()
    assert mean[0].astype(np.float32).tobytes() not in content


def test_head_that_needs_the_surface(root_dir, tmp_path):
    """`ManoTokenHead` cannot do without MANO inside, so it must be asked for."""
    write_mano(tmp_path / 'MANO_RIGHT.npz', standin_mano(seed=5))
    cfg = load_config(root_dir / 'configs/handmesh_token_fastvit_t8.py', pretrained=False)
    cfg.model.mano = dict(path=str(tmp_path / 'MANO_RIGHT.npz'))
    with raises_naming(
        ExportError, 'ManoTokenHead', 'add --with-mano', 'keep the file to yourself'
    ):
        prepare(cfg, None)
    job = prepare(cfg, None, with_mano=True)
    assert job.description.mano == job.predictor.model.mano.name != 'none'
    session = onnxruntime.InferenceSession(
        trace(job).SerializeToString(), providers=['CPUExecutionProvider']
    )
    mesh = session.run(['vertices'], {'image': np.zeros((1, 3, 224, 224), np.float32)})
    assert mesh[0].shape == (1, 778, 3)
