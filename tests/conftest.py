"""Settings and fixtures of all tests."""

import fcntl
import gc
import logging
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from . import tiny

# The tests are many small operators on two processes; more threads would wait for each other.
os.environ['OMP_NUM_THREADS'] = '1'
ROOT = Path(__file__).resolve().parent.parent


def pytest_runtest_setup(item):
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker('gpu'):
        import torch

        if not torch.cuda.is_available():
            pytest.skip('needs a GPU')


@pytest.fixture(scope='module', autouse=True)
def _no_scope_of_other_files():
    """Types are looked up where a test says, not where the file before it left mmengine."""
    from mmengine.registry import DefaultScope

    DefaultScope._instance_dict.clear()


@pytest.fixture(scope='module', autouse=True)
def _no_garbage_of_other_files():
    """What was imported stays out of the search for garbage that each dataset of mmengine makes."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='module', autouse=True)
def _threads_stay():
    """Benchmarks set a number of threads; it would change last bits, and times, in later files."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='session', autouse=True)
def _no_wait_between_epochs():
    """Where a loop of iterations begins its data anew, mmengine sleeps two seconds."""
    from mmengine.runner import loops

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, 'time', SimpleNamespace(sleep=lambda seconds: None))
        yield


@pytest.fixture(scope='session')
def shared_dir():
    """The folder of golden outputs and small real data beside the checkout; skips without it."""
    path = ROOT.parent / 'shared'
    if not path.is_dir():
        pytest.skip(f'no folder of golden and real data at ../{path.name}')
    return path


@pytest.fixture(scope='session')
def seeded(shared_dir):
    """The module beside the golden files that made their weights and inputs, and compares."""
    import importlib.util

    spec = importlib.util.spec_from_file_location('seeded', shared_dir / 'golden' / 'seeded.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def root_dir():
    """The checkout's top folder."""
    return ROOT


@pytest.fixture(scope='session')
def sample_data(root_dir):
    """The embedded sample data of the instance and semantic task, made on first use."""
    from fastvit_dense.datasets.sample.scene_files import make_sample_data

    return make_sample_data(root_dir / 'data/sample')


@pytest.fixture(scope='session')
def quick_logs():
    """Configs go into logs and checkpoints as they are: yapf's line breaks take seconds a run.

    A model's MACs are counted once.
    """
    from fastvit_dense.evaluation.report import model as facts

    count, counted = facts._count_macs, {}

    def count_once(model, size):
        key = repr(model), size
        if key not in counted:
            counted[key] = count(model, size)
        return counted[key]

    with pytest.MonkeyPatch.context() as patch:
        for module in ('yapf.yapflib.yapf_api', 'mmengine.config.config'):
            patch.setattr(f'{module}.FormatCode', lambda text, **_: (text, True), raising=False)
        patch.setattr(facts, '_count_macs', count_once)
        yield


@pytest.fixture(scope='session')
def tiny_instance(sample_data, quick_logs, tmp_path_factory):
    """Config file of Mask R-CNN T8 on a few small pictures."""
    return tiny.write_instance_config(tmp_path_factory.mktemp('instance'), sample_data / 'coco')


@pytest.fixture(scope='session')
def tiny_semantic(sample_data, quick_logs, tmp_path_factory):
    """Config file of Semantic FPN T8 on a few small pictures."""
    ade = sample_data / 'ade20k/ADEChallengeData2016'
    return tiny.write_semantic_config(tmp_path_factory.mktemp('semantic'), ade)


@pytest.fixture(scope='session')
def made_once(request, tmp_path_factory):
    """`made_once(name, make)`: a folder that `make(folder)` fills in one process, for all.

    Nothing that is in it may be changed. The other processes of a run wait until it is full.
    """
    root = tmp_path_factory.getbasetemp()
    if hasattr(request.config, 'workerinput'):  # one of several processes
        root = root.parent

    def get(name, make):
        folder = root / 'made' / name
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder.with_name(f'{name}.lock'), 'a+') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            if not lock.read():
                make(folder)
                lock.write('full')
        return folder

    return get


@pytest.fixture(scope='session')
def trained(tiny_instance, made_once):
    """The checkpoint of `tiny_instance` after its three iterations."""
    from fastvit_dense.engine.training import train

    folder = made_once('trained', lambda folder: train(tiny_instance, work_dir=str(folder)))
    return folder / 'epoch_1.pth'


@pytest.fixture(scope='session')
def trained_semantic(tiny_semantic, made_once):
    """The checkpoint of `tiny_semantic` after its four iterations."""
    from fastvit_dense.engine.training import train

    make = lambda folder: train(tiny_semantic, work_dir=str(folder))
    return made_once('trained_semantic', make) / 'iter_4.pth'


@pytest.fixture(scope='session')
def hand_tree(made_once):
    """Folder of a FreiHAND tree: 12 training annotations (48 images), 4 for evaluation."""
    from fastvit_dense.datasets.sample.hands import make_sample_hands

    make = lambda folder: make_sample_hands(folder, train=12, evaluation=4, workers=0)
    return made_once('sample', make) / 'freihand'


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


@pytest.fixture(scope='session')
def random_hand(tiny_hand):
    """A checkpoint of `tiny_hand`, not trained."""
    return tiny.save_random(tiny_hand, tiny_hand.with_name('hand.pth'))


@pytest.fixture(scope='session')
def random_semantic(tiny_semantic):
    """A checkpoint of `tiny_semantic`, not trained."""
    return tiny.save_random(tiny_semantic, tiny_semantic.with_name('semantic.pth'))


@pytest.fixture(scope='session')
def photo(sample_data):
    """(H, W, 3) uint8, RGB, with sides that no stride divides."""
    import numpy as np
    from PIL import Image

    with Image.open(next((sample_data / 'coco/val2017').glob('*.jpg'))) as image:
        return np.asarray(image.convert('RGB'))[:151, :203].copy()


@pytest.fixture
def shallow(monkeypatch):
    """Name of a variant like T8 with one block in each stage: soon traced and converted."""
    from dataclasses import replace

    from fastvit_dense.backbones.variants import VARIANTS

    monkeypatch.setitem(VARIANTS, 'shallow', replace(VARIANTS['t8'], layers=(1, 1, 1, 1)))
    return 'shallow'


@pytest.fixture
def logged():
    """Messages that go to mmengine's log, which pytest's `caplog` does not see."""
    from mmengine.logging import MMLogger

    messages = []

    class Keep(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    logger, handler = MMLogger.get_current_instance(), Keep()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)
