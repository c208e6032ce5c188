"""`predict`, `test` and `export` with a checkpoint that stands alone, and their words."""

import json

import pytest
from PIL import Image

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures('quick_logs')]


def test_checkpoint_alone(run_tool, trained, sample_data, tmp_path):
    """Options may stand between the words; pictures may be several."""
    pictures = sorted((sample_data / 'coco/val2017').glob('*.jpg'))[:3]
    done = run_tool(
        'predict', trained, '--score-thr', 0.2, *pictures, '--out-dir', tmp_path, '--no-pictures'
    )
    assert done.status == 0, done.err
    assert '3 pictures and their lines of JSON' in done.out
    lines = (tmp_path / 'predictions.jsonl').read_text().splitlines()
    assert [json.loads(line)['image'] for line in lines] == [str(path) for path in pictures]
    assert 'objects above 0.2 in 3 pictures' in done.out


def test_test_of_a_checkpoint_alone(run_tool, trained, tmp_path):
    """Whole, then in tiles: as many pictures, and the report says so."""
    options = ('--cfg-options', 'test_dataloader.dataset.indices=2')
    reports = []
    for extra in ((), ('--tiles', 160, '--overlap', 0.2)):
        done = run_tool('test', trained, '--work-dir', tmp_path, *extra, *options)
        assert done.status == 0, done.err
        reports.append(json.loads((tmp_path / 'report.json').read_text()))
    assert [report['samples'] for report in reports] == [2, 2]
    assert reports[0]['model']['config'] == 'tiny_instance.py'
    assert 'tiles' not in reports[0]['protocol']
    assert reports[1]['protocol']['tiles'] == '160 pixels, overlap 0.2'
    assert reports[1]['protocol']['image_size'] == '96 x 96, ratio kept'


def test_test_of_a_checkpoint_on_a_folder(run_tool, trained, tiny_instance, sample_data, tmp_path):
    """The folder's data, the checkpoint's classes and preprocessing."""
    content = json.loads(tiny_instance.with_name('val.json').read_text())
    for number, split in enumerate(('train', 'valid')):
        images = content['images'][2 * number : 2 * number + 2]
        ids = {image['id'] for image in images}
        annotations = [a for a in content['annotations'] if a['image_id'] in ids]
        folder = tmp_path / 'parts' / split
        folder.mkdir(parents=True)
        part = {**content, 'images': images, 'annotations': annotations}
        (folder / '_annotations.coco.json').write_text(json.dumps(part))
        for image in images:
            source = sample_data / 'coco/val2017' / image['file_name']
            (folder / image['file_name']).write_bytes(source.read_bytes())
    done = run_tool('test', trained, '--data', tmp_path / 'parts', '--work-dir', tmp_path / 'work')
    assert done.status == 0, done.err
    report = json.loads((tmp_path / 'work/report.json').read_text())
    assert (report['samples'], report['dataset']) == (2, 'parts')
    assert len(report['per_class']) == 6


def test_semantic_test_in_tiles(run_tool, trained_semantic, tmp_path):
    """Labels and their truth have the size of the pictures."""
    options = ('--cfg-options', 'test_dataloader.dataset.indices=2')
    work = ('--work-dir', tmp_path)
    done = run_tool('test', trained_semantic, '--tiles', 128, *work, *options)
    assert done.status == 0, done.err
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['samples'] == 2
    assert 0 <= report['metrics']['mIoU'] <= 100


def test_export_of_a_checkpoint_alone(run_tool, trained_semantic, sample_data, tmp_path):
    """The file then stands alone, too."""
    pytest.importorskip('onnxruntime', reason='extra [deploy] is not installed')
    path = tmp_path / 'x.onnx'
    done = run_tool('export', trained_semantic, '--format', 'onnx', '--out', path)
    assert done.status == 0, done.err
    picture = next((sample_data / 'coco/val2017').glob('*.jpg'))
    done = run_tool('predict', path, picture, '--out-dir', tmp_path / 'out')
    assert done.status == 0, done.err
    assert (tmp_path / f'out/{picture.stem}_labels.png').is_file()
    done = run_tool('predict', path, picture, '--sample')
    assert done.error.startswith('ConfigError: --sample and ')


def test_words_that_do_not_work(run_tool, tiny_semantic, trained, photo, tmp_path):
    Image.fromarray(photo).save(tmp_path / 'a.png')
    for words in (('test', tiny_semantic), ('predict', tiny_semantic, tmp_path)):
        assert 'expected a checkpoint after it' in run_tool(*words).error
    for option, value, expected in (
        ('--score-thr', 50, 'a number from 0 to 1'),
        ('--score-thr', 'x', 'a number from 0 to 1'),
        ('--batch-size', 0, 'a whole number above 0'),
    ):
        done = run_tool('predict', trained, tmp_path / 'a.png', option, value)
        assert f"argument {option}: expected {expected}, found '{value}'" in done.err
    (tmp_path / 'a.mp4').write_bytes(b'nothing')
    done = run_tool('predict', trained, tmp_path / 'a.mp4', '--shard', '1/2')
    assert done.status == 2
    assert '--shard: for pictures, not for videos' in done.err
    assert 'OpenCV opens' in run_tool('predict', trained, tmp_path / 'a.mp4').error
