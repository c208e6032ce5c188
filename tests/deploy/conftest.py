"""Models in PyTorch and as files, made once for all tests of deployment."""

import pytest

pytest.importorskip('onnx', reason='extra [deploy] is not installed')
pytest.importorskip('onnxruntime', reason='extra [deploy] is not installed')


@pytest.fixture(scope='session')
def tiny_hand(root_dir, hand_tree, tmp_path_factory, quick_logs):
    """Config file of a T8 hand model with the stand-in on a few sample hands."""
    path = tmp_path_factory.mktemp('hand') / 'tiny_hand.py'
    path.write_text(f"""
_base_ = '{root_dir}/configs/handmesh_fastvit_t8.py'

model = dict(
    backbone=dict(init_cfg=None),
    head=dict(hidden_channels=64),
    mano=dict(_delete_=True, standin=True),
)
data = dict(data_root='{hand_tree}', mano='standin')
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=data)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=data)
test_dataloader = dict(batch_size=3, num_workers=0, persistent_workers=False, dataset=data)
""")
    return path


def save_random(config, path, seed=0):
    """A checkpoint of random weights in which every BatchNorm and layer scale does something."""
    import torch

    from fastvit_dense import load_model
    from tests.backbones.randomise import randomise

    torch.manual_seed(seed)
    model = load_model(config).model
    randomise(model)
    torch.save({'state_dict': model.state_dict()}, path)
    return path


@pytest.fixture(scope='session')
def random_hand(tiny_hand):
    return save_random(tiny_hand, tiny_hand.with_name('hand.pth'))


@pytest.fixture(scope='session')
def random_semantic(tiny_semantic):
    return save_random(tiny_semantic, tiny_semantic.with_name('semantic.pth'))
