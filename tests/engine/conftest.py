"""Evaluations that several tests read, and trainings to compare with to the last bit.

The latter are made anew in each file, close to what they are compared with: last bits depend on the
number of threads, among others.
"""

import pytest

from fastvit_dense import engine


@pytest.fixture(scope='module')
def four_steps(tiny_semantic, tmp_path_factory):
    """Work dir of an uninterrupted training of `tiny_semantic`."""
    work_dir = tmp_path_factory.mktemp('four_steps')
    engine.train(tiny_semantic, work_dir=str(work_dir))
    return work_dir


@pytest.fixture(scope='module')
def two_epochs(tiny_instance, tmp_path_factory):
    """Work dir of an uninterrupted training of `tiny_instance`: two epochs of three steps."""
    work_dir = tmp_path_factory.mktemp('two_epochs')
    options = ['train_cfg.max_epochs=2']
    options += ['val_dataloader=None', 'val_cfg=None', 'val_evaluator=None']
    engine.train(tiny_instance, cfg_options=options, work_dir=str(work_dir))
    return work_dir


@pytest.fixture(scope='session')
def evaluated(tiny_instance, trained, tmp_path_factory):
    """Work dir of the evaluation of the trained Mask R-CNN."""
    work_dir = tmp_path_factory.mktemp('evaluated')
    assert engine.evaluate_checkpoint(tiny_instance, str(trained), work_dir=str(work_dir)) == 0
    return work_dir


@pytest.fixture(scope='session')
def evaluated_semantic(tiny_semantic, trained_semantic, tmp_path_factory):
    """Work dir of the evaluation of the trained Semantic FPN."""
    work_dir = tmp_path_factory.mktemp('evaluated_semantic')
    checkpoint = str(trained_semantic)
    assert engine.evaluate_checkpoint(tiny_semantic, checkpoint, work_dir=str(work_dir)) == 0
    return work_dir
