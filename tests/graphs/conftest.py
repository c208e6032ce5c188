"""A detector as trained, as a graph and as a file; graphs are traced with the extra [deploy]."""

import pytest


@pytest.fixture(scope='session')
def job(tiny_instance, trained):
    """The export of a detector that was trained."""
    from fastvit_dense.deploy.job import prepare
    from fastvit_dense.tasks.config import load_config

    return prepare(load_config(tiny_instance), trained, size=(96, 128))


@pytest.fixture(scope='session')
def model(job):
    """Its ONNX graph."""
    from fastvit_dense.deploy.export import trace

    return trace(job)


@pytest.fixture(scope='session')
def file(job, model, tmp_path_factory):
    """Its file, which nothing has checked."""
    from fastvit_dense.deploy.export import write

    path = tmp_path_factory.mktemp('detector') / 'model.onnx'
    write(model, job.description, 'onnx', path)
    return path


@pytest.fixture(scope='session')
def exported():
    """`exported(job, path)`: the model that predicts with a file."""
    from fastvit_dense.deploy.runtime import ExportedModel
    from fastvit_dense.inference.exported import exported_model_cfg

    def load(job, path):
        options = exported_model_cfg(job.predictor.cfg, path)
        options.pop('type')
        return ExportedModel(**options).eval()

    return load
