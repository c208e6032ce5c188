"""Saved predictions score what the test scored; what a config adds to a report."""

import json
import shutil
from pathlib import Path

import pytest
from mmengine.registry import DATASETS

from fastvit_dense import engine
from fastvit_dense.engine.scoring import image_size
from fastvit_dense.errors import DataError
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming
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
    names = [path.name for path in (tmp_path / 'pictures').iterdir()]
    assert sum('_likely_' not in name for name in names) == 4  # beside likely label errors


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


@pytest.mark.parametrize('task', ['instance', 'semantic'])
def test_the_folder_that_predict_writes_scores_as_the_test(request, task, tmp_path):
    config = request.getfixturevalue(f'tiny_{task}')
    semantic = task == 'semantic'
    tested = request.getfixturevalue('evaluated_semantic' if semantic else 'evaluated')
    checkpoint = request.getfixturevalue('trained_semantic' if semantic else 'trained')
    cfg = load_config(config, pretrained=False)
    dataset = DATASETS.build({**cfg.test_dataloader.dataset, '_scope_': cfg.default_scope})
    (tmp_path / 'pictures').mkdir()
    for index in range(len(dataset)):
        shutil.copy(dataset.get_data_info(index)['img_path'], tmp_path / 'pictures')
    out = tmp_path / 'out'
    engine.predict(config, str(checkpoint), str(tmp_path / 'pictures'), str(out))
    found = engine.score_predictions(config, str(out), work_dir=str(tmp_path / 'scored'))
    assert found == pytest.approx(read_report(tested)['metrics'], abs=1e-6)
    scored = '4 of 50' if semantic else '4 of 4'  # the semantic config names indices
    assert read_report(tmp_path / 'scored')['protocol']['images_scored'] == scored
    if not semantic:  # whose data alone is lines, too
        lines = tmp_path / 'lines'
        photos = str(tmp_path / 'pictures')
        engine.predict(config, str(checkpoint), photos, str(lines), pictures=False)
        path = str(lines / 'predictions.jsonl')
        again = engine.score_predictions(config, path, work_dir=str(tmp_path / 'scored'))
        assert again == found


def test_order_of_the_categories_in_a_file_changes_no_score(
    tiny_instance, trained, evaluated, tmp_path
):
    cfg = load_config(tiny_instance, pretrained=False)
    content = json.loads(Path(cfg.test_evaluator.ann_file).read_text())
    content['categories'].reverse()
    turned = tmp_path / 'turned.json'
    turned.write_text(json.dumps(content))
    options = [f'test_dataloader.dataset.ann_file={turned}', f'test_evaluator.ann_file={turned}']
    engine.evaluate_checkpoint(
        tiny_instance, str(trained), work_dir=str(tmp_path), cfg_options=options
    )
    assert read_report(tmp_path)['metrics'] == read_report(evaluated)['metrics']


def test_a_part_of_the_images(tiny_instance, trained, tmp_path, capsys):
    engine.evaluate_checkpoint(
        tiny_instance,
        str(trained),
        work_dir=str(tmp_path),
        cfg_options=['test_dataloader.dataset.indices=3'],
    )
    report = read_report(tmp_path)
    assert report['samples'] == 3
    assert report['protocol']['images_scored'] == '3 of 4'
    assert 'images scored: 3 of 4' in capsys.readouterr().out


def test_what_the_check_refuses_is_not_scored(tiny_instance, evaluated, tmp_path):
    cfg = load_config(tiny_instance, pretrained=False)
    content = json.loads(Path(cfg.test_evaluator.ann_file).read_text())
    for annotation in content['annotations']:
        annotation['segmentation'] = [[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]]
    (tmp_path / 'a.json').write_text(json.dumps(content))
    options = [
        f'test_{part}.ann_file={tmp_path}/a.json' for part in ('dataloader.dataset', 'evaluator')
    ]
    with raises_naming(DataError, 'test_dataloader', tmp_path / 'a.json', 'segmentation'):
        engine.score_predictions(
            tiny_instance,
            str(evaluated / 'predictions/instances.json'),
            work_dir=str(tmp_path),
            cfg_options=options,
        )
