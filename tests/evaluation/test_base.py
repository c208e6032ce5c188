"""What the metrics share: every sample once, one process or two, errors on all of them."""

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement

from fastvit_dense.evaluation import HandMetric, InstanceMetric, PredictionError, SemanticMetric
from fastvit_dense.evaluation.base import as_dict, each_once
from fastvit_dense.evaluation.saved_label_maps import staging_folder

from .test_hand import data_samples, made_up_hands
from .test_instance import sample as detections
from .test_instance import small_truth, write
from .test_semantic import random_maps
from .test_semantic import sample as label_maps


def ids(samples):
    return [sample['id'] for sample in samples]


def test_samples_of_all_processes_each_once_in_order():
    def part(*numbers):
        return [{'id': n} for n in numbers]

    assert ids(each_once([part(0, 2, 4), part(1, 3, 0)], 5)) == [0, 1, 2, 3, 4]
    assert ids(each_once([part(3, 4, 0), part(1, 2, 3)], 5)) == [0, 1, 2, 3, 4]
    assert ids(each_once([part('b', 'c'), part('a')], 3)) == ['a', 'b', 'c']
    assert ids(each_once([part(1, 2), part()], 2)) == [1, 2]
    assert ids(each_once([part(None, None), part(None, None)], 3)) == [None] * 3
    # the same id twice in a dataset is two samples
    assert ids(each_once([part(1, 1)], 2)) == [1, 1]
    assert each_once([[]], 0) == []


def test_as_dict_opens_nested_elements():
    inner = BaseDataElement(joints=torch.zeros(2))
    assert list(as_dict({'hand': inner})['hand']) == ['joints']
    assert as_dict(BaseDataElement(metainfo={'img_id': 3}, hand=inner))['img_id'] == 3


def metrics(folder):
    instance = InstanceMetric(str(folder / 'truth.json'), metric=['bbox', 'segm'])
    semantic = SemanticMetric()
    semantic.dataset_meta = {'classes': list('abcde')}
    return {'instance': instance, 'semantic': semantic, 'hand': HandMetric()}


def samples():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[10, 10, 30, 30], [40, 10, 70, 50], [5, 5, 65, 55]] * 8)
    instance = []
    for image_id in (1, 2, 3):
        corners = boxes + torch.randn(24, 4, generator=generator) * 3
        scores = torch.rand(24, generator=generator).round(decimals=1).tolist()
        labels = torch.randint(0, 2, (24,), generator=generator).tolist()
        instance.append(detections(image_id, corners.tolist(), scores, labels))
    semantic = [label_maps(*random_maps(seed, 5), f'{seed}/1.jpg') for seed in range(3)]
    return {
        'instance': instance,
        'semantic': semantic,
        'hand': data_samples(*(a.astype(np.float32) for a in made_up_hands(3))),
    }


def scores_of(folder, choose, batch_size, save=None):
    """Scores of all tasks after processing the chosen of three samples."""
    found = {}
    for task, metric in metrics(folder).items():
        if save:
            metric.save_predictions(folder / save / task)
        chosen = [samples()[task][i] for i in choose]
        for start in range(0, len(chosen), batch_size):
            metric.process({}, chosen[start : start + batch_size])
        found[task] = metric.evaluate(3)
    return found


def worker(rank, folder, queue):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2
    )
    try:
        # three samples for two processes: the sampler hands the first one out twice
        scores = scores_of(folder, [0, 2] if rank == 0 else [1, 0], 1, save='two')
        metric = metrics(folder)['semantic']
        if rank == 0:
            metric.results = [{'id': 'x', 'cells': np.array([99]), 'counts': np.array([1])}]
        try:
            metric.evaluate(1)
            message = 'no error'
        except IndexError as error:
            message = str(error)
        queue.put((rank, scores, message))
    finally:
        torch.distributed.destroy_process_group()


def test_two_processes_score_as_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / 'truth.json', small_truth())
    expected = scores_of(tmp_path, [0, 1, 2], 3, save='one')
    assert 0 < expected['instance']['segm_mAP'] < 1
    assert scores_of(tmp_path, [2, 0, 1], 1) == expected

    context = torch.multiprocessing.get_context('spawn')
    queue = context.SimpleQueue()
    processes = [context.Process(target=worker, args=(r, tmp_path, queue)) for r in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    found = {rank: (scores, message) for rank, scores, message in (queue.get(), queue.get())}
    for rank in (0, 1):
        assert found[rank][0] == expected
        assert 'out of bounds' in found[rank][1]
    files = sorted(p.relative_to(tmp_path / 'one') for p in (tmp_path / 'one').rglob('[!.]*.*'))
    assert len(files) == 5
    assert [file.as_posix() for file in files[2:]] == [f'semantic/{k}/1.png' for k in range(3)]
    assert not staging_folder(tmp_path / 'two/semantic').exists()
    for file in files:
        assert (tmp_path / 'two' / file).read_bytes() == (tmp_path / 'one' / file).read_bytes()


def test_evaluate_forgets_and_keeps_the_result():
    metric = HandMetric(prefix='hand')
    assert metric.result is None
    for seed in (0, 1):
        arrays = made_up_hands(2, seed=seed)
        metric.process({}, data_samples(*arrays))
        scores = metric.evaluate(2)
        assert scores['hand/PA-MPJPE'] == metric.result.metrics['PA-MPJPE']
        assert metric.result.samples == 2
    assert metric.results == []


def test_an_error_leaves_nothing_behind():
    metric = SemanticMetric()
    metric.dataset_meta = {'classes': ['a'], 'dataset_name': 'mine', 'split': 'val'}
    with pytest.raises(PredictionError):
        metric.process({}, [label_maps(np.ones((1, 1), int), np.zeros((1, 1), int))])
    metric.results = []
    metric.process({}, [label_maps(np.zeros((1, 1), int), np.zeros((1, 1), int))])
    assert metric.evaluate(1)['mIoU'] == 100
    assert (metric.result.dataset, metric.result.split) == ('mine', 'val')
