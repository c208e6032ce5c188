"""The pages' code for exported files runs as it stands and gives what `load_model` gives."""

import re

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

pytest.importorskip('onnxruntime', reason='extra [deploy] is not installed')
pytestmark = pytest.mark.integration


@pytest.fixture(scope='module')
def blocks(root_dir):
    """The blocks that need neither this package nor PyTorch, in the order of the page."""
    text = (root_dir / 'docs/deployment.md').read_text(encoding='utf-8')
    found = re.findall(r'^```python\n(.*?)^```', text, re.DOTALL | re.MULTILINE)
    return [code for code in found if 'fastvit' not in code and 'torch' not in code]


def run(code, name, file, picture, tmp_path, monkeypatch, photo_name='photo.jpg'):
    """The names that a block leaves, with the files that it names in a folder."""
    (tmp_path / name).write_bytes(file.read_bytes())
    picture.save(tmp_path / photo_name, format='PNG')  # every pixel as it is
    monkeypatch.chdir(tmp_path)
    assert len([line for line in code.splitlines() if line and 'import' not in line]) <= 18
    names = {}
    exec(code, names)
    return names


@pytest.fixture(scope='module')
def export(tmp_path_factory):
    from fastvit_dense.deploy.export import trace, write
    from fastvit_dense.deploy.job import prepare
    from fastvit_dense.tasks.config import load_config

    def export(config, checkpoint, **settings):
        job = prepare(load_config(config, pretrained=False), checkpoint, **settings)
        path = tmp_path_factory.mktemp('export') / 'model.onnx'
        write(trace(job), job.description, 'onnx', path)
        return path

    return export


def test_detector(blocks, export, tiny_instance, trained, photo, tmp_path, monkeypatch):
    from fastvit_dense import load_model

    file = export(tiny_instance, trained)
    names = run(blocks[0], 'maskrcnn.onnx', file, Image.fromarray(photo), tmp_path, monkeypatch)
    result = load_model(file)(photo)
    np.testing.assert_allclose(names['boxes'], result.boxes, atol=0.05)
    np.testing.assert_allclose(names['scores'], result.scores, atol=1e-4)
    np.testing.assert_array_equal(names['labels'], result.labels)
    code = coco_mask.encode(np.asfortranarray(names['pixels'], dtype=np.uint8))
    assert coco_mask.iou([code], [result.rles[-1]], [0])[0, 0] > 0.95


def test_segmentor(blocks, export, tiny_semantic, trained_semantic, photo, tmp_path, monkeypatch):
    from fastvit_dense import load_model

    file = export(tiny_semantic, trained_semantic)
    names = run(blocks[1], 'semfpn.onnx', file, Image.fromarray(photo), tmp_path, monkeypatch)
    expected = load_model(tiny_semantic, trained_semantic)(photo).labels
    assert (names['labels'] == expected).mean() > 0.995


def test_hand(blocks, export, tiny_hand, random_hand, hand_tree, tmp_path, monkeypatch):
    from fastvit_dense import load_model

    file = export(tiny_hand, random_hand, with_mano=True)
    picture = Image.open(sorted((hand_tree / 'evaluation/rgb').iterdir())[0])
    names = run(blocks[2], 'hand.onnx', file, picture, tmp_path, monkeypatch, photo_name='hand.jpg')
    result = load_model(tiny_hand, random_hand)(picture)
    root = result.joints[9]
    np.testing.assert_allclose(names['joints'][0], result.joints - root, atol=1e-4)
    assert len(blocks) == 3
