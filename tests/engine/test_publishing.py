"""Publishing a training run: what goes into the folder, and what is refused."""

import hashlib
import json

import pytest
import torch
import yaml
from mmengine.config import Config

from fastvit_dense import load_model
from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.engine.publishing import publish
from fastvit_dense.errors import CheckpointError, DataError
from fastvit_dense.inference.predictor import build_model
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming

pytestmark = pytest.mark.integration
NAME = 'semfpn_fastvit_t8'
SLOW = pytest.mark.slow


@pytest.fixture(scope='module')
def run(quick_logs, tmp_path_factory):
    """A checkpoint as a run of the shipped config saves it, random weights; and its network."""
    folder = tmp_path_factory.mktemp('run')
    cfg = load_config(NAME, pretrained=False, work_dir='/home/someone/work')
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='apple_dist/fastvit_t8')
    text = cfg.pretty_text
    model = build_model(cfg)
    meta = dict(
        cfg=text,
        dataset_meta=dict(classes=('a|b', 'c')),
        experiment_name=f'{NAME}_20261126_010203',
        epoch=3,
        iter=40,
        hook_msgs={},
    )
    state = model.state_dict()
    content = dict(meta=meta, state_dict=state, optimizer=dict(state={0: torch.ones(1000)}))
    torch.save(content, folder / 'iter_40.pth')
    return folder / 'iter_40.pth', model


def report_of(checkpoint, folder):
    """A report as `test` writes it, with a number that is easily found again."""
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    content = dict(task='semantic', dataset='ADE20K', split='validation', samples=2000)
    content |= dict(metrics={'mIoU': 12.345}, protocol={'form': 'as trained'}, reference=[])
    content |= dict(model={'checkpoint_sha256': digest}, per_class=[], curves={}, uncertainty={})
    path = folder / 'report.json'
    path.write_text(json.dumps(content))
    return path


def test_folder_for_a_hub(run, tmp_path):
    checkpoint, model = run
    report = report_of(checkpoint, tmp_path)
    weights, card, metafile = publish(checkpoint, tmp_path / 'hub', report=report)
    assert {p.name for p in (tmp_path / 'hub').iterdir()} == {
        weights.name,
        'README.md',
        'metafile.yml',
    }
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert weights.name == f'{NAME}-{digest[:8]}.pth'

    content = load_checkpoint_file(weights)
    assert content.keys() == {'state_dict', 'meta'}
    expected = model.state_dict()
    assert content['state_dict'].keys() == expected.keys()
    assert all(torch.equal(t, expected[n]) for n, t in content['state_dict'].items())
    assert content['meta']['dataset_meta'] == dict(classes=('a|b', 'c'))
    cfg = Config.fromstring(content['meta']['cfg'], '.py')
    assert (
        cfg.model == Config.fromstring(load_checkpoint_file(checkpoint)['meta']['cfg'], '.py').model
    )
    assert 'work_dir' not in cfg
    assert '/home/someone' not in content['meta']['cfg']

    text = card.read_text()
    assert yaml.safe_load(text.split('---')[1])['library_name'] == 'fastvit_dense'
    parameters = sum(p.numel() for p in model.parameters())
    for fact in (NAME, weights.name, digest, 'FastViT t8', f'{parameters:,} parameters'):
        assert fact in text
    for fact in (
        'apple_dist/fastvit_t8',
        'no patent licence',
        '12.3',
        'ADE20K validation',
        '2,000',
    ):
        assert fact in text
    (row,) = yaml.safe_load(metafile.read_text())['Models']
    assert row['Weights'] == weights.name
    assert row['Metadata']['Parameters'] == parameters
    assert row['Results'][0]['Metrics'] == {'mIoU': 12.345}


def saved_run(name, folder, settings=None):
    """A checkpoint of a run of a shipped config with random weights; and its network."""
    options = ['model.mano.standin=True'] if name.startswith('handmesh') else []
    cfg = load_config(name, pretrained=True, cfg_options=options)
    cfg.merge_from_dict(settings or {})
    model = build_model(cfg)
    meta = dict(cfg=cfg.pretty_text, epoch=1, iter=2)
    torch.save(dict(meta=meta, state_dict=model.state_dict()), folder / 'epoch_1.pth')
    return folder / 'epoch_1.pth', model


@pytest.mark.parametrize(
    ('config', 'backbone', 'start', 'licence'),
    [
        ('deeplabv3_mobilevit_xxs', 'mobilevit', 'timm/mobilevit_xxs.cvnets_in1k', 'CVNets'),
        ('ssdlite_mobilevit_xxs', 'mobilevit', 'timm/mobilevit_xxs.cvnets_in1k', 'CVNets'),
        pytest.param(
            'maskrcnn_fastvit_t8', *['fastvit', 'apple/fastvit_t8', 'FastViT'], marks=SLOW
        ),
        pytest.param(
            'handmesh_fastvit_t8', *['fastvit', 'apple/fastvit_t8', 'FastViT'], marks=SLOW
        ),
    ],
)
def test_every_task_is_published_and_read_again(config, backbone, start, licence, tmp_path, photo):
    """The file stands alone: its config and classes are inside, nothing is downloaded."""
    checkpoint, model = saved_run(config, tmp_path)
    weights, card, _ = publish(checkpoint, tmp_path / 'hub', name=config)
    text = card.read_text()
    assert yaml.safe_load(text.split('---')[1])['tags'][0] == backbone
    assert f'Training began from `{start}`' in text
    assert licence in text
    predictor = load_model(weights, device='cpu')
    expected = model.state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in predictor.model.state_dict().items())
    predictor(photo)


def test_training_that_began_from_a_whole_model(tmp_path):
    """Its licence goes on, not that of the backbone's file, which it replaced; no folder's name."""
    hub = 'apple/deeplabv3-mobilevit-xx-small'
    for load_from, told in ((hub, hub), ('/home/someone/best.pth', '`best.pth`')):
        settings = {'load_from': load_from}
        settings['val_dataloader.dataset.data_root'] = '/home/someone/VOC2012/'
        checkpoint, _ = saved_run('deeplabv3_mobilevit_xxs', tmp_path, settings)
        weights, card, _ = publish(checkpoint, tmp_path / 'hub', name='mine')
        text = card.read_text()
        assert told in text
        assert 'timm/' not in text
        cfg = load_checkpoint_file(weights)['meta']['cfg']
        assert '/home/someone' not in text + cfg
        assert Config.fromstring(cfg, '.py').val_dataloader.dataset.data_root == 'VOC2012'


@pytest.mark.parametrize('name', ['', '..', 'a/b', '../a', 'a b'])
def test_names_that_are_none_of_a_file(run, tmp_path, name):
    with raises_naming(CheckpointError, '--name', repr(name)):
        publish(run[0], tmp_path / 'hub', name=name)
    assert not (tmp_path / 'hub').exists()


def test_classes_that_look_like_paths(run, tmp_path):
    """Those of Open Images do, and are no folders of a machine."""
    content, classes = load_checkpoint_file(run[0]), [f'/m/0{label}' for label in range(150)]
    cfg = Config.fromstring(content['meta']['cfg'], '.py')
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[loader].dataset.metainfo = dict(classes=classes)
    content['meta'] |= {'cfg': cfg.pretty_text, 'dataset_meta': {'classes': classes}}
    torch.save(content, tmp_path / 'epoch_1.pth')
    file, card, _ = publish(tmp_path / 'epoch_1.pth', tmp_path / 'hub')
    assert list(load_model(file).classes) == classes
    assert classes[-1] in card.read_text()


def test_without_a_report_there_are_no_numbers(run, tmp_path):
    _, card, metafile = publish(run[0], tmp_path, name='mine')
    assert 'No evaluation comes with it.' in card.read_text()
    assert yaml.safe_load(metafile.read_text())['Models'][0]['Results'] == []
    assert len(list(tmp_path.glob('mine-*.pth'))) == 1


def test_report_of_another_checkpoint(run, tmp_path):
    checkpoint, _ = run
    report = report_of(checkpoint, tmp_path)
    other = tmp_path / 'other.pth'
    content = load_checkpoint_file(checkpoint)
    torch.save(content | {'message_hub': {}}, other)
    with raises_naming(DataError, report, 'checkpoint_sha256', 'another checkpoint'):
        publish(other, tmp_path / 'hub', report=report)
    assert not (tmp_path / 'hub').exists()


@pytest.mark.parametrize(
    ('meta', 'facts'),
    [
        (None, ['meta.cfg', 'found none', 'convert-weights']),
        (dict(epoch=1), ['meta.cfg', 'found none']),
        (dict(cfg='import os\nmodel = dict(type=os.name)'), ['meta.cfg', 'holds code']),
        (dict(cfg='a = 1'), ['meta.cfg', 'whole model', 'found none']),
        (dict(cfg='model = dict()', dataset_meta='x'), ['meta.dataset_meta', 'a dict', "'x'"]),
    ],
)
def test_what_is_no_run_is_refused(tmp_path, meta, facts):
    content = dict(state_dict={'x': torch.ones(1)}) | ({} if meta is None else dict(meta=meta))
    torch.save(content, tmp_path / 'x.pth')
    with raises_naming(CheckpointError, tmp_path / 'x.pth', *facts):
        publish(tmp_path / 'x.pth', tmp_path / 'hub')
    assert not (tmp_path / 'hub').exists()
