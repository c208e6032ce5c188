"""The class of every pixel: label files and shares."""

import json

import numpy as np
import pytest
from PIL import Image

from fastvit_dense.results.semantic import SemanticResult


@pytest.mark.parametrize('classes', [3, 256, 300])
def test_label_files_keep_every_class(image, tmp_path, classes):
    """8 bits where they hold all classes, else 16."""
    labels = np.random.default_rng(1).integers(0, classes, (120, 160))
    labels[0, 0] = classes - 1
    names = tuple(f'class {i}' for i in range(classes))
    result = SemanticResult(labels, names, None, image)
    path = result.save_labels(tmp_path / 'new' / 'labels.png')
    with Image.open(path) as stored:
        assert stored.mode == ('L' if classes <= 256 else 'I;16')
        np.testing.assert_array_equal(np.asarray(stored), labels)


def test_shares_of_the_classes(image, tmp_path):
    labels = np.zeros((120, 160), np.int64)
    labels[:, :40] = 2
    result = SemanticResult(labels, ('sky', 'sea', 'sand'), None, image)
    assert result.to_dict() == {
        'task': 'semantic',
        'size': [120, 160],
        'classes': [
            {'label': 0, 'class': 'sky', 'share': 0.75},
            {'label': 2, 'class': 'sand', 'share': 0.25},
        ],
    }
    assert json.loads(result.save(tmp_path / 'a.json').read_text()) == result.to_dict()
    assert result.save(tmp_path / 'a.png').is_file()
