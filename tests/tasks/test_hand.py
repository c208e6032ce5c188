"""Hands as a task: drawing saved predictions beside the truth."""

import json

import numpy as np
import pytest
from mmengine.config import Config

from fastvit_dense.hand.camera import project
from fastvit_dense.tasks import find_task
from fastvit_dense.visualization.hand import PANEL


def test_gallery_of_saved_predictions(tmp_path):
    from fastvit_dense.datasets.freihand import FreiHAND
    from fastvit_dense.datasets.freihand_files import write_predictions
    from fastvit_dense.datasets.sample.hands import make_sample_hands

    root = make_sample_hands(tmp_path, 1, 3, workers=0) / 'freihand'
    settings = {'type': 'FreiHAND', 'data_root': str(root), 'split': 'evaluation'}
    dataset = FreiHAND(root, split='evaluation')
    known = [dataset.describe(i) for i in range(3)]
    write_predictions(
        tmp_path / 'pred.json', (k['joints'] for k in known), (k['vertices'] for k in known)
    )
    cfg = Config({'model': {'mano': {'standin': True}}})
    pictures = list(find_task('hand').draw(cfg, settings, [2, 0], tmp_path))
    assert [name for name, _ in pictures] == ['00000002.jpg', '00000000.jpg']
    assert {picture.size for _, picture in pictures} == {(5 * PANEL, PANEL)}
    first = np.asarray(pictures[0][1])
    tip = project(known[2]['joints'], known[2]['K'])[20] * PANEL / 224
    assert np.abs(first[int(tip[1]), PANEL + int(tip[0])].astype(int) - (200, 0, 255)).max() < 40
    lines = [
        {'task': 'hand', 'image': f'rgb/{i:08d}.jpg'}
        | {name: known[i][name].tolist() for name in ('joints', 'vertices')}
        for i in (2, 0, 1)
    ]
    (tmp_path / 'predictions.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    _, same = next(find_task('hand').draw(cfg, settings, [2], tmp_path / 'predictions.jsonl'))
    assert np.array_equal(np.asarray(same), first)

    write_predictions(
        tmp_path / 'pred.json', (k['joints'] for k in known), (k['vertices'][:9] for k in known)
    )
    _, picture = next(find_task('hand').draw(cfg, settings, [1], tmp_path / 'pred.json'))
    assert picture.size == (2 * PANEL, PANEL)

    (root / 'evaluation' / 'rgb' / '00000001.jpg').unlink()
    with pytest.raises(FileNotFoundError) as error:
        next(find_task('hand').draw(cfg, settings, [1], tmp_path))
    assert error.value.filename.endswith('00000001.jpg')
