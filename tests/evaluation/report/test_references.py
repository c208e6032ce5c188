import re

import pytest

from fastvit_dense.config.loaders import datasets_of
from fastvit_dense.evaluation.report.references import (
    HAND,
    INSTANCE,
    SEMANTIC,
    TABLE_8,
    TABLE_9,
    TABLE_10,
    backbone_arch,
    find_references,
)
from fastvit_dense.tasks import task_of
from fastvit_dense.tasks.config import load_config
from tests.evaluation.samples import published_rows


def markdown_rows(text):
    """Cells of every table row, bold marks and notes in brackets removed, by the first cell."""
    rows = {}
    for line in text.splitlines():
        if line.startswith('|'):
            cells = [
                re.sub(r'\*|\s*\(.*?\)', '', cell).strip() for cell in line.strip('|').split('|')
            ]
            rows.setdefault(cells[0], []).append(cells)
    return rows


@pytest.fixture(scope='module')
def paper(shared_dir):
    return (shared_dir / 'reference' / 'fastvit.md').read_text(encoding='utf-8')


@pytest.fixture(scope='module')
def recipes(shared_dir):
    text = (shared_dir / 'reference' / 'dense_recipes.md').read_text(encoding='utf-8')
    return markdown_rows(text[text.index('### 1.4 Numbers') : text.index('### 1.5')])


def section(text, start, stop):
    return markdown_rows(text[text.index(start) : text.index(stop)])


def test_instance_rows_are_those_of_the_tables(paper, recipes):
    table_10 = section(paper, '### 3.1', '### 3.2')
    for _, backbone, parameters, *values, source in INSTANCE.rows:
        if source == TABLE_10:
            (cells,) = table_10[backbone]
            assert [float(cell) for cell in cells[3:]] == values, backbone
        else:
            (cells,) = recipes[backbone]
            assert [float(cell) for cell in cells[3:9]] == values, backbone
        if parameters is not None:
            assert float(recipes[backbone][0][1]) == parameters, backbone


def test_semantic_rows_are_those_of_the_tables(paper, recipes):
    table_9 = section(paper, '### 3.2', '### 3.3')
    for _, backbone, parameters, miou, source in SEMANTIC.rows:
        cells = table_9[backbone][0] if source == TABLE_9 else recipes[backbone][0]
        assert float(cells[5] if source == TABLE_9 else cells[9]) == miou, backbone
        if parameters is not None:
            assert float(recipes[backbone][0][1]) == parameters, backbone


def test_hand_rows_of_the_paper_are_those_of_its_table(paper):
    table_8 = section(paper, '### 3.3', '### 3.4')
    for name, _, *values, source in HAND.rows:
        if source == TABLE_8:
            cells = table_8['FastViT-MA36' if name == 'FastViT paper' else name][0]
            read = [None if cell == '-' else float(cell) for cell in cells[2:6]]
            assert read == values, name


@pytest.mark.parametrize(
    ('task', 'arch', 'metric', 'value'),
    [
        ('instance', 'sa12', 'bbox_mAP', 0.389),
        ('instance', 'sa24', 'bbox_mAP', 0.420),
        ('instance', 'sa24', 'segm_mAP', 0.380),
        ('instance', 'sa36', 'segm_mAP_75', 0.423),
        ('instance', 'ma36', 'bbox_mAP_50', 0.668),
        ('semantic', 'sa12', 'mIoU', 38.0),
        ('semantic', 'sa24', 'mIoU', 41.0),
        ('semantic', 'sa36', 'mIoU', 42.9),
        ('semantic', 'ma36', 'mIoU', 44.6),
        ('hand', 'ma36', 'PA-MPJPE', 6.6),
        ('hand', 'ma36', 'PA-MPVPE', 6.7),
        ('hand', 'ma36', 'f_al_score_5', 0.722),
    ],
)
def test_the_papers_row_in_our_units(task, arch, metric, value):
    rows = published_rows(task, 'COCO', 5000, arch)
    (row,) = [row for row in rows if row['kind'] == 'paper']
    assert row['name'] == 'FastViT paper'
    assert row['backbone'] == f'FastViT-{arch.upper()}'
    assert row['metrics'][metric] == value
    assert len(rows) > 4, 'peers stand beside it'


@pytest.mark.parametrize('task', ['instance', 'semantic', 'hand'])
def test_a_variant_without_a_row_of_its_own_gets_none_called_the_papers(task):
    rows = published_rows(task, 'COCO', 5000, 't8')
    assert rows
    assert not [row for row in rows if row['kind'] == 'paper']
    assert 'FastViT paper' in {row['name'] for row in rows}, 'the nearest row is still there'


def test_without_a_variant_only_the_papers_rows():
    rows = published_rows('semantic', 'ADE20K', 2000)
    assert [row['backbone'] for row in rows] == [
        'FastViT-SA12',
        'FastViT-SA24',
        'FastViT-SA36',
        'FastViT-MA36',
    ]


def test_a_variant_without_any_neighbour_gets_nothing():
    assert published_rows('instance', 'COCO', 5000, 'mci3') == []
    assert published_rows('instance', 'COCO', 5000, 'hd') == []


@pytest.mark.parametrize(
    ('dataset', 'samples', 'reason'),
    [
        ('COCO', 5000, ''),
        ('coco', 5000, ''),
        ('COCO sample', 40, 'not on the sample data'),
        ('COCO sample', 5000, 'not on the sample data'),
        ('COCO', 100, 'this result is on 100 images of COCO'),
        ('PascalVOC', 5000, 'this result is on 5,000 images of PascalVOC'),
        ('', 5000, 'this result is on 5,000 images'),
    ],
)
def test_rows_measured_on_other_data_say_so(dataset, samples, reason):
    for row in published_rows('instance', dataset, samples, 'sa24'):
        assert row['dataset'] == 'COCO val2017'
        assert reason in row['not_comparable']
        assert bool(row['not_comparable']) == bool(reason)


@pytest.mark.parametrize(
    ('task', 'dataset', 'samples', 'split', 'reason'),
    [
        ('instance', 'COCO', 5000, 'val2017', ''),
        ('instance', 'COCO', 5000, 'instances_val2017', ''),
        ('instance', 'COCO', 5000, 'minival2017', ''),
        ('instance', 'COCO', 5000, '', ''),
        ('instance', 'COCO', 5000, 'train2017', 'this result is on 5,000 images of COCO train2017'),
        ('instance', 'COCO', 5000, 'val2014', 'of COCO val2014'),
        ('instance', 'COCO', 4000, 'val2017', 'this result is on 4,000 images of COCO'),
        ('semantic', 'ADE20K', 2000, 'validation', ''),
        ('semantic', 'ADE20K', 2000, 'val', ''),
        ('semantic', 'ADE20K', 2000, 'training', 'of ADE20K training'),
        ('hand', 'FreiHAND', 3960, 'evaluation', ''),
        ('hand', 'FreiHAND', 3960, 'training', 'of FreiHAND training'),
    ],
)
def test_rows_measured_on_another_split_say_so(task, dataset, samples, split, reason):
    rows = published_rows(task, dataset, samples, 'ma36', split=split)
    assert rows
    for row in rows:
        assert reason in row['not_comparable']
        assert bool(row['not_comparable']) == bool(reason)
        assert row['dataset'].split()[-1] in ('val2017', 'validation', 'evaluation')


def test_backbone_arch():
    def config(**backbone):
        return {'model': {'type': 'MaskRCNN', 'backbone': backbone}}

    assert backbone_arch(config(type='FastViT', arch='SA12')) == 'sa12'
    assert backbone_arch(config(type='FastViT')) == 'sa24', 'the default of FastViT'
    assert backbone_arch(config(type='MobileViT', arch='xxs')) == 'mobilevit-xxs'
    assert backbone_arch(config(type='MobileViT', arch='1.0')) == 'mobilevitv2-1.0'
    assert backbone_arch(config(type='ResNet', depth=50)) is None
    assert backbone_arch({}) is None
    assert backbone_arch({'model': {'type': 'DETR'}}) is None


def test_the_stand_in_hand_is_not_compared_with_mano():
    """On FreiHAND's own images too: the cards show no difference from the paper's row."""
    rows = published_rows('hand', 'FreiHAND', 3960, arch='ma36', standin=True)
    assert all('stand-in' in row['not_comparable'] for row in rows)
    rows = published_rows('hand', 'FreiHAND', 3960, arch='ma36')
    assert not any(row['not_comparable'] for row in rows)


def mobilevit_rows(config, samples, split='', dataset=None):
    """Rows beside a result of a shipped config on the data that it names."""
    cfg = load_config(config, pretrained=False)
    task = task_of(cfg)
    official = next(datasets_of(cfg, ['test_dataloader'])).type
    return find_references(
        task.published_for(cfg),
        dataset or task.official_datasets[official],
        samples,
        backbone_arch(cfg),
        split=split,
    )


@pytest.mark.parametrize(
    ('config', 'samples', 'split', 'paper', 'others'),
    [
        ('ssdlite_mobilevit_s', 5000, 'val2017', {'bbox_mAP': 0.277}, [0.199, 0.279, 0.22]),
        ('ssdlite_mobilevit_xxs', 5000, 'val2017', None, [0.199, 0.248]),
        ('deeplabv3_mobilevit_xxs', 1449, 'val', {'mIoU': 73.6}, [72.8, 79.44]),
        ('deeplabv3_mobilevit_s', 1449, 'val', {'mIoU': 79.1}, [79.3, 79.44]),
        ('deeplabv3_mobilevit_s_ade20k', 2000, 'validation', {'mIoU': 38.5}, [44.0]),
        ('maskrcnn_mobilevit_s', 5000, 'val2017', {'bbox_mAP': 0.42, 'segm_mAP': 0.377}, [0.44]),
    ],
)
def test_rows_of_mobilevit(config, samples, split, paper, others):
    rows = mobilevit_rows(config, samples, split)
    assert [row['metrics'] for row in rows if row['kind'] == 'paper'] == ([paper] if paper else [])
    first = {next(iter(row['metrics'].values())) for row in rows}
    assert set(others) <= first
    assert not any(row['not_comparable'] for row in rows)
    assert all(row['not_comparable'] for row in mobilevit_rows(config, 3, split, 'own'))


@pytest.mark.parametrize('config', ['semfpn_mobilevit_s', 'maskrcnn_mobilevitv2_100'])
def test_what_nobody_published_has_no_rows(config):
    assert mobilevit_rows(config, 2000) == []
