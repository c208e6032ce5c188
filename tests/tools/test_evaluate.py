"""`tools/evaluate.py`: scoring saved predictions, comparing reports, bad files."""

import json
import re

import pytest

from fastvit_dense import engine

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures('quick_logs')]


@pytest.fixture(scope='module')
def saved(tiny_instance, tmp_path_factory):
    """Boxes and masks that are the truth itself, and one wrong entry."""
    content = json.loads(tiny_instance.with_name('val.json').read_text())
    from pycocotools.coco import COCO

    truth = COCO(str(tiny_instance.with_name('val.json')))
    entries = []
    for annotation in content['annotations']:
        code = truth.annToRLE(annotation)
        counts = code['counts'].decode() if isinstance(code['counts'], bytes) else code['counts']
        entries.append(
            {key: annotation[key] for key in ('image_id', 'category_id', 'bbox')}
            | {'score': 0.9, 'segmentation': {'size': list(code['size']), 'counts': counts}}
        )
    entries.append({**entries[0], 'score': 0.1, 'bbox': [0, 0, 3, 3]})
    path = tmp_path_factory.mktemp('saved') / 'instances.json'
    path.write_text(json.dumps(entries))
    return path


def test_truth_as_prediction_is_perfect(run_tool, tiny_instance, saved, tmp_path):
    done = run_tool('evaluate', tiny_instance, '--predictions', saved, '--work-dir', tmp_path)
    assert done.status == 0
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['metrics']['bbox_mAP'] == report['metrics']['segm_mAP'] == 1
    assert report['samples'] == 4
    assert report['model'] is None
    assert len(list((tmp_path / 'pictures').glob('*.png'))) == 4


def test_boxes_alone_and_no_pictures(run_tool, tiny_instance, saved, tmp_path):
    """Boxes are scored alone; without the images there is no gallery. A line says each."""
    entries = json.loads(saved.read_text())
    for entry in entries:
        del entry['segmentation']
    (tmp_path / 'boxes.json').write_text(json.dumps(entries))
    done = run_tool(
        *('evaluate', tiny_instance, '--predictions', tmp_path / 'boxes.json'),
        *('--work-dir', tmp_path, '--cfg-options'),
        f'test_dataloader.dataset.data_prefix.img={tmp_path}/none',
    )
    assert done.status == 0
    metrics = json.loads((tmp_path / 'report.json').read_text())['metrics']
    assert metrics['bbox_mAP'] == 1
    assert not any(name.startswith('segm') for name in metrics)
    assert re.search('box', done.out + done.err)
    assert re.search(r'no pictures: no image \d+\.jpg in the data folder', done.out)


def test_images_without_a_file_name(run_tool, tiny_instance, saved, tmp_path):
    """Scoring needs ids and sizes alone; a test, which reads the pictures, stops at once."""
    content = json.loads(tiny_instance.with_name('val.json').read_text())
    for image in content['images']:
        del image['file_name']
    path = tmp_path / 'val.json'
    path.write_text(json.dumps(content))
    options = ('--work-dir', tmp_path, '--cfg-options', f'test_evaluator.ann_file={path}')
    options += (f'test_dataloader.dataset.ann_file={path}',)
    done = run_tool('evaluate', tiny_instance, '--predictions', saved, *options)
    assert done.status == 0
    assert json.loads((tmp_path / 'report.json').read_text())['metrics']['segm_mAP'] == 1
    assert re.search(r'no pictures: annotation file .*: expected a text "file_name"', done.out)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', r'bad\.json'),
        ('[{"image_id": 1', r'bad\.json'),
        ('{"a": 1}', r'bad\.json'),
        ('[{"image_id": 9999, "category_id": 1, "bbox": [0,0,1,1], "score": 1}]', 'entry 0.*9999'),
        ('[{"image_id": 201, "category_id": 77, "bbox": [0,0,1,1], "score": 1}]', 'entry 0.*77'),
        ('[{"image_id": 201, "category_id": 1, "bbox": [0,0,1], "score": 1}]', 'entry 0'),
        ('[{"image_id": 201, "category_id": 1, "segmentation": [[1]], "score": 1}]', 'polygons'),
        ('{"image_id": 201}\n{"image_id": 202}', 'JSON lines'),
        ('[{"image_id": 201, "category_id": 1, "bbox": [0,0,1,1], "score": NaN}]', 'entry 0'),
    ],
)
def test_bad_predictions(run_tool, tiny_instance, tmp_path, text, message):
    path = tmp_path / 'bad.json'
    path.write_text(text)
    done = run_tool('evaluate', tiny_instance, '--predictions', path, '--work-dir', tmp_path)
    assert re.search(message, done.error)
    assert 'bad.json' in done.error
    assert not (tmp_path / 'report.json').exists()


def test_missing_files(run_tool, tiny_instance, saved, tmp_path):
    done = run_tool('evaluate', tiny_instance, '--predictions', tmp_path / 'none.json')
    assert 'none.json' in done.error
    done = run_tool(
        *('evaluate', tiny_instance, '--predictions', saved, '--cfg-options'),
        f'test_evaluator.ann_file={tmp_path}/none.json',
        f'test_dataloader.dataset.ann_file={tmp_path}/none.json',
    )
    assert 'none.json' in done.error


def test_compare(run_tool, tiny_instance, saved, tmp_path):
    for name in ('a', 'b'):
        engine.score_predictions(tiny_instance, str(saved), work_dir=str(tmp_path / name))
    reports = [tmp_path / name / 'report.json' for name in ('a', 'b')]
    done = run_tool('evaluate', '--compare', *reports, '--work-dir', tmp_path)
    assert done.status == 0
    assert 'bbox_mAP' in done.out
    assert (tmp_path / 'compare.md').is_file()
    reports[1].write_text(reports[1].read_text()[:100])
    done = run_tool('evaluate', '--compare', *reports)
    assert f'{reports[1]}: expected a whole JSON file' in done.error
    done = run_tool('evaluate', '--compare', reports[0], tmp_path / 'none.json')
    assert 'none.json: no such file' in done.error


def test_usage(run_tool, tiny_instance):
    for arguments in ([], [tiny_instance], [tiny_instance, '--compare', 'a']):
        done = run_tool('evaluate', *arguments)
        assert done.status == 2
        assert 'usage:' in done.err
