"""Test evaluators as a dict or a list: ours in the place of others', and the numbers of all."""

import json

import pytest
import torch
from mmengine.config import Config

from fastvit_dense.datasets.check.datasets import check_config
from fastvit_dense.engine import evaluate_checkpoint, score_predictions
from fastvit_dense.errors import ConfigError
from fastvit_dense.evaluation import EvaluationResult, TaskMetric
from fastvit_dense.tasks.config import load_config
from fastvit_dense.tasks.evaluators import outcome, own_evaluator, use_own_metrics
from tests.facts import raises_naming

ZOO = dict(type='CocoMetric', ann_file='a.json', metric=['bbox', 'segm'])
OURS = dict(type='InstanceMetric', ann_file='a.json')
PROPOSALS = dict(type='CocoMetric', ann_file='a.json', metric='proposal_fast')


@pytest.mark.parametrize(
    ('evaluator', 'types'),
    [
        (ZOO, ['InstanceMetric']),
        ([ZOO], ['InstanceMetric']),
        ([dict(ZOO, type='mmdet.CocoMetric')], ['InstanceMetric']),
        ([ZOO, dict(type='DumpResults', out_file_path='x.pkl')], ['InstanceMetric', 'DumpResults']),
        ([OURS, ZOO], ['InstanceMetric', 'CocoMetric']),
        ([ZOO, OURS], ['CocoMetric', 'InstanceMetric']),
        (PROPOSALS, ['CocoMetric']),
    ],
)
def test_ours_takes_the_place_of_mmdets(tiny_instance, evaluator, types):
    cfg = load_config(tiny_instance)
    cfg.test_evaluator = evaluator
    use_own_metrics(cfg)
    found = cfg.test_evaluator
    found = found if isinstance(found, list) else [found]
    assert [metric['type'] for metric in found] == types
    own = own_evaluator(cfg)
    assert (own is None) == ('InstanceMetric' not in types)
    assert own is None or own['ann_file'] == 'a.json'


def test_metrics_of_the_model_zoos_become_ours():
    """With their arguments; what ours do not score stays theirs."""
    zoo = dict(type='CocoMetric', ann_file='a.json', metric=['bbox', 'segm'], use_mp_eval=True)
    for theirs, ours in (
        (zoo, dict(type='InstanceMetric', ann_file='a.json', metric=['bbox', 'segm'])),
        (dict(type='mmseg.IoUMetric', iou_metrics=['mIoU']), dict(type='SemanticMetric')),
        (dict(type='CocoMetric', metric='proposal'), dict(type='CocoMetric')),
        (dict(type='CityscapesMetric'), dict(type='CityscapesMetric')),
    ):
        dataset = 'BaseSegDataset' if 'IoU' in theirs['type'] else 'CocoDataset'
        cfg = Config(
            dict(
                default_scope='mmseg' if 'Seg' in dataset else 'mmdet',
                test_dataloader=dict(dataset=dict(type=dataset)),
                test_evaluator=theirs,
            )
        )
        use_own_metrics(cfg)
        assert cfg.test_evaluator == {
            k: v for k, v in {**theirs, **ours}.items() if k != 'use_mp_eval'
        }


def test_ours_takes_the_place_of_mmsegs(tiny_semantic):
    cfg = load_config(tiny_semantic)
    cfg.test_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU'])]
    use_own_metrics(cfg)
    assert cfg.test_evaluator == [dict(type='SemanticMetric', iou_metrics=['mIoU'])]


class Scored(TaskMetric):
    """A metric of ours that has scored already."""

    def compact(self, sample):
        raise AssertionError

    def score(self, samples):
        raise AssertionError


@pytest.mark.parametrize('prefix', [None, 'ours'])
def test_numbers_of_all_metrics(tiny_instance, prefix):
    cfg = load_config(tiny_instance)
    metric = Scored(prefix=prefix)
    metric.result = EvaluationResult('instance', '', '', 4, {'bbox_mAP': 0.123456})
    own = f'{prefix}/bbox_mAP' if prefix else 'bbox_mAP'
    found = {own: 0.123456, 'coco/bbox_mAP': 0.123, 'coco/bbox_mAP_copypaste': '0.123 0.2', 'n': 3}
    result = outcome(cfg, [object(), metric], found, 4)
    assert result is metric.result
    assert result.metrics == {'bbox_mAP': 0.123456, 'coco/bbox_mAP': 0.123, 'n': 3.0}


def test_without_a_metric_of_ours(tiny_instance):
    cfg = load_config(tiny_instance)
    result = outcome(cfg, [object()], {'share': 0.25, 'text': 'x'}, 7)
    assert (result.task, result.samples, result.metrics) == ('instance', 7, {'share': 0.25})
    assert outcome(cfg, [object()], {}, 7) is None
    assert outcome(cfg, [Scored()], {}, 7) is None


def test_what_is_no_number_is_told(tiny_instance, logged):
    """A tensor of one value is a number; texts beside numbers are mmdet's way."""
    found = {'a': torch.tensor(0.5), 'b': float('nan'), 'c': [0.1, 0.2], 'd': None, 'text': 'x'}
    result = outcome(load_config(tiny_instance), [object()], found, 7)
    assert result.metrics == {'a': 0.5}
    assert [line.partition(': the report')[0] for line in logged if 'metric' in line] == [
        'metric b: expected a finite number, found nan',
        'metric c: expected a finite number, found [0.1, 0.2]',
        'metric d: expected a finite number, found None',
    ]


@pytest.fixture
def listed(tiny_instance, tmp_path):
    """Write a config whose evaluators are lists, in mmdet's own form."""

    def write(**expected):
        path = tmp_path / 'listed.py'
        path.write_text(
            f"_base_ = '{tiny_instance}'\n"
            "coco = dict(type='CocoMetric', metric=['bbox', 'segm'],\n"
            '            ann_file=_base_.test_evaluator.ann_file)\n'
            'val_evaluator = [coco]\n'
            'test_evaluator = [coco]\n'
            f'expected_results = [dict(metric="bbox_mAP", tolerance=1e-9, **{expected})]\n'
        )
        return path

    return write


def test_a_list_is_verified_and_its_predictions_are_scored(listed, trained, tmp_path, capsys):
    assert evaluate_checkpoint(listed(value=0.9), str(trained), work_dir=tmp_path, verify=True) == 1
    assert 'bbox_mAP: expected 0.9' in capsys.readouterr().out
    measured = json.loads((tmp_path / 'report.json').read_text())['metrics']
    assert len(measured) > 20

    config = listed(value=measured['bbox_mAP'])
    assert evaluate_checkpoint(config, str(trained), work_dir=tmp_path, verify=True) == 0
    assert score_predictions(config, tmp_path / 'predictions', work_dir=tmp_path) == measured


def test_predictions_only_are_never_verified(listed, trained, tmp_path, capsys):
    """`--verify` has compared, or its status is not 0."""
    config = listed(value=0.5)
    options = ['test_evaluator.0.format_only=True', f'test_evaluator.0.outfile_prefix={tmp_path}/x']
    status = evaluate_checkpoint(
        config, str(trained), work_dir=tmp_path, verify=True, cfg_options=options
    )
    assert status == 1
    out = capsys.readouterr().out
    assert 'predictions only' in out
    assert 'not measured' in out


def test_predictions_need_a_metric_that_reads_them(tiny_instance, tmp_path):
    config = tmp_path / 'none.py'
    config.write_text(f"_base_ = '{tiny_instance}'\ntest_evaluator = [dict(type='DumpResults')]\n")
    with raises_naming(ConfigError, config, 'test_evaluator', 'DumpResults'):
        score_predictions(config, tmp_path)


def test_the_check_of_data_follows_lists(tiny_instance):
    cfg = load_config(tiny_instance)
    cfg.test_evaluator = [dict(type='DumpResults'), dict(cfg.test_evaluator, ann_file='other.json')]
    warnings = check_config(cfg, read_files=False).warnings
    assert any('test_evaluator.ann_file' in line and 'other.json' in line for line in warnings)


@pytest.mark.parametrize('evaluator', ['CocoMetric', 3, [3], [dict(type='CocoMetric'), 'x']])
def test_what_is_no_evaluator(tiny_instance, evaluator):
    cfg = load_config(tiny_instance)
    cfg.test_evaluator = evaluator
    with raises_naming(ConfigError, 'test_evaluator'):
        own_evaluator(cfg)


def test_no_evaluator_at_all():
    assert own_evaluator(Config({'model': {}})) is None
