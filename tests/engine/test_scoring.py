"""Saved predictions score what the test scored; what a config adds to a report."""

import pytest

from fastvit_dense import engine
from fastvit_dense.engine.scoring import image_size
from fastvit_dense.tasks.config import load_config
from tests.tiny import read_report

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ('task', 'predictions'),
    [('instance', 'predictions/instances.json'), ('semantic', 'predictions')],
)
def test_saved_predictions_score_to_the_last_digit(request, task, predictions, tmp_path):
    config = request.getfixturevalue(f'tiny_{task}')
    work_dir = request.getfixturevalue('evaluated' + ('_semantic' if task == 'semantic' else ''))
    metrics = engine.score_predictions(config, str(work_dir / predictions), work_dir=str(tmp_path))
    before, after = read_report(work_dir), read_report(tmp_path)
    assert after['metrics'] == before['metrics'] == metrics
    assert after['per_class'] == before['per_class']
    assert after['samples'] == before['samples']
    assert after['model'] is None
    assert len(list((tmp_path / 'pictures').iterdir())) == 4


@pytest.mark.parametrize('task', ['instance', 'semantic'])
def test_metrics_of_the_model_zoos_end_in_the_same_report(request, task, tmp_path):
    """A config of mmdet's or mmseg's names CocoMetric or IoUMetric, which keep no result."""
    semantic = task == 'semantic'
    config = request.getfixturevalue(f'tiny_{task}')
    work = request.getfixturevalue('evaluated_semantic' if semantic else 'evaluated')
    theirs = 'IoUMetric' if semantic else 'CocoMetric'
    found = engine.score_predictions(
        str(config),
        str(work / 'predictions' / ('' if semantic else 'instances.json')),
        work_dir=str(tmp_path),
        cfg_options=[f'test_evaluator.type={theirs}'],
    )
    assert found == read_report(work)['metrics'] == read_report(tmp_path)['metrics']


@pytest.mark.parametrize(
    ('config', 'size'),
    [
        ('maskrcnn_fastvit_t8', '1333 x 800, ratio kept'),
        ('semfpn_fastvit_t8', '2048 x 512, ratio kept'),
        ('handmesh_fastvit_t8', '224 x 224'),
    ],
)
def test_report_tells_the_size_of_the_pictures(root_dir, config, size):
    assert image_size(load_config(root_dir / f'configs/{config}.py', pretrained=False)) == size
