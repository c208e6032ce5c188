"""The folders that `predict` writes, scored as the same predictions in the official formats."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from fastvit_dense.errors import MissingFileError, PredictionError
from fastvit_dense.evaluation import HandMetric, InstanceMetric, evaluate_predictions
from fastvit_dense.evaluation.predicted_folder import find_predicted, read_results
from fastvit_dense.results.hand import HandResult
from fastvit_dense.results.instance import InstanceResult
from fastvit_dense.results.semantic import SemanticResult
from tests.facts import raises_naming

from .test_instance import SIZE, small_truth, write
from .test_semantic import ade_folder  # noqa: F401

IMAGE = np.zeros((*SIZE, 3), np.uint8)


def instance_result(boxes, scores, labels):
    masks = np.zeros((len(boxes), *SIZE), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    return InstanceResult(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array(scores, np.float32),
        labels=np.array(labels, np.int64),
        rles=[coco_mask.encode(np.asfortranarray(mask)) for mask in masks],
        classes=('dog', 'cat'),  # not the order of the file
        image=IMAGE,
    )


@pytest.fixture
def ann_file(tmp_path):
    truth = small_truth()
    for image in truth['images']:
        image['file_name'] = f'{image["id"]}.jpg'
    return write(tmp_path / 'truth.json', truth)


def test_instances(ann_file, tmp_path, logged):
    results = {
        '1': instance_result([[10, 10, 30, 30], [40, 12, 70, 50]], [0.9, 0.8], [1, 0]),
        '2': instance_result([], [], []),
    }
    entries = []
    (tmp_path / 'out').mkdir()
    for name, result in results.items():
        result.save_all(tmp_path / 'out' / name)
        for item in result.to_dict()['instances']:
            category = {'cat': 3, 'dog': 7}[item.pop('class')]
            entries.append({**item, 'image_id': int(name), 'category_id': category})
    metric = InstanceMetric(ann_file, metric=['bbox', 'segm'])
    found = evaluate_predictions(metric, tmp_path / 'out')
    assert any('2 of 3 images have no predictions' in message for message in logged)
    expected = evaluate_predictions(
        InstanceMetric(ann_file, metric=['bbox', 'segm']),
        write(tmp_path / 'results.json', entries),
    )
    assert found.metrics == expected.metrics
    assert found.metrics['bbox_mAP_50'] > 0.5
    assert found.protocol['images_scored'] == '3 of 3'
    for shards in (['predictions.jsonl'], ['predictions-1-of-2.jsonl', 'predictions-2-of-2.jsonl']):
        folder = tmp_path / str(len(shards))
        folder.mkdir()
        lines = [
            json.dumps({'image': f'photos/{name}.jpg', **result.to_dict()})
            for name, result in results.items()
        ]
        lines.append(json.dumps({'image': 'photos/of another.jpg', **results['2'].to_dict()}))
        for number, shard in enumerate(shards):
            (folder / shard).write_text('\n'.join(lines[number :: len(shards)]) + '\n')
        for path in (folder, folder / shards[0])[: 3 - len(shards)]:
            again = evaluate_predictions(InstanceMetric(ann_file, metric=['bbox', 'segm']), path)
            assert again.metrics == expected.metrics


def test_what_an_instance_folder_may_not_hold(ann_file, tmp_path):
    folder = tmp_path / 'out'
    folder.mkdir()
    metric = InstanceMetric(ann_file)
    with raises_naming(MissingFileError, folder / 'instances.json'):
        evaluate_predictions(metric, folder)
    for content, facts in (
        ('{"task": "hand"}', ['instance', 'found', 'hand']),
        ('{"task"', ['JSON']),
        ('[]', ['instance', 'found', 'list']),
        ('{"task": "instance", "instances": [1]}', ['list', 'instances']),
        ('{"task": "instance", "instances": [{"class": "owl"}]}', ['owl', 2]),
    ):
        (folder / '1.json').write_text(content)
        with raises_naming(PredictionError, folder / '1.json', *facts):
            evaluate_predictions(metric, folder)


def test_what_lines_may_not_hold(ann_file, tmp_path):
    file = tmp_path / 'predictions.jsonl'
    whole = json.dumps({'image': 'photos/1.jpg', **instance_result([], [], []).to_dict()})
    for lines, facts in (
        ([whole, whole[:-9]], ['line 2', 'a whole JSON object', '--resume']),
        ([whole, whole], ['line 2', 'one result of 1.jpg', 'line 1']),
        ([whole.replace('photos/1.jpg', 'photos/9.jpg')], ['3 annotated', 'photos/9.jpg']),
        ([whole.replace('"instance"', '"hand"')], ['line 1', 'instance', 'found', 'hand']),
        ([whole.replace('"image": "photos/1.jpg", ', '')], ['line 1', 'image', 'None']),
        (['[]'], ['line 1', 'found', 'list']),
    ):
        file.write_text('\n'.join(lines) + '\n')
        with raises_naming(PredictionError, file, *facts):
            evaluate_predictions(InstanceMetric(ann_file), file)
    file.write_text('')
    with raises_naming(MissingFileError, file, 'a line for each picture'):
        evaluate_predictions(InstanceMetric(ann_file), file)


def test_the_longest_path_of_several_is_meant(tmp_path):
    lines = [{'task': 'hand', 'image': f'photos/{place}a.jpg'} for place in ('x/', 'y/', '')]
    file = tmp_path / 'predictions.jsonl'
    file.write_text('\n'.join(map(json.dumps, lines)))
    found = read_results(file, ['a.jpg', 'x/a.jpg', 'y/a.jpg'], 'hand')
    assert [picture for picture, _, _ in found] == ['x/a.jpg', 'y/a.jpg', 'a.jpg']


def test_label_maps(ade_folder, tmp_path):  # noqa: F811
    pytest.importorskip('mmseg')
    dataset, predictions = ade_folder
    for form in ('official', 'predicted'):
        (tmp_path / form).mkdir()
    for name, predicted in predictions.items():
        image = np.zeros((*predicted.shape, 3), np.uint8)
        result = SemanticResult(predicted, ('wall', 'building', 'sky', 'floor'), None, image)
        result.save_all(tmp_path / 'predicted' / name)
        SemanticResult(predicted + 1, ('x',) * 5).save_labels(tmp_path / f'official/{name}.png')
    found, expected = (
        evaluate_predictions({'type': 'SemanticMetric'}, tmp_path / form, dataset)
        for form in ('predicted', 'official')
    )
    assert found.metrics == expected.metrics
    assert 0 < found.metrics['mIoU'] < 100


def test_hands(hand_tree, tmp_path):
    random = np.random.default_rng(0)
    dataset = {'type': 'FreiHAND', 'data_root': str(hand_tree), 'split': 'evaluation'}
    dataset |= {'mano': 'standin'}
    joints = json.loads((hand_tree / 'evaluation_xyz.json').read_text())
    vertices = json.loads((hand_tree / 'evaluation_verts.json').read_text())
    joints = [(np.array(x) + random.normal(0, 0.01, (21, 3))).tolist() for x in joints]
    write(tmp_path / 'pred.json', [joints, vertices])
    folder = tmp_path / 'out'
    folder.mkdir()
    for number, (xyz, verts) in enumerate(zip(joints, vertices, strict=True)):
        HandResult(
            joints=np.array(xyz),
            vertices=np.array(verts),
            faces=np.zeros((0, 3), np.int64),
            global_orient=np.eye(3),
            hand_pose=np.zeros((15, 3, 3)),
            betas=np.zeros(10),
            K=np.eye(3),
            hand_model='stand-in',
        ).save(folder / f'{number:08d}.json')
    found = evaluate_predictions(HandMetric(), folder, dataset)
    expected = evaluate_predictions(HandMetric(), tmp_path / 'pred.json', dataset)
    assert found.metrics == expected.metrics
    lines = [
        json.dumps({'image': f'{file.stem}.jpg', **json.loads(file.read_text())})
        for file in sorted(folder.iterdir(), reverse=True)
    ]
    (tmp_path / 'predictions.jsonl').write_text('\n'.join(lines))
    again = evaluate_predictions(HandMetric(), tmp_path / 'predictions.jsonl', dataset)
    assert again.metrics == expected.metrics
    (folder / '00000002.json').unlink()
    with raises_naming(PredictionError, folder, 'pred.json', 4, 'found', 3, '00000002.jpg'):
        evaluate_predictions(HandMetric(), folder, dataset)


def test_one_file_for_two_pictures(tmp_path):
    (tmp_path / 'a.json').touch()
    with raises_naming(PredictionError, tmp_path / 'a.json', 'y/a.jpg', 'x/a.jpg'):
        find_predicted(tmp_path, ['x/a.jpg', 'y/a.jpg'], '.json')
    (tmp_path / 'b_png.json').touch()
    assert find_predicted(tmp_path, ['b.png', 'c.png'], '.json') == {
        'b.png': tmp_path / 'b_png.json'
    }
