"""What a config adds to a report."""

import pytest

from fastvit_dense.engine.scoring import image_size
from fastvit_dense.tasks.config import load_config

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ('config', 'size'),
    [
        ('maskrcnn_fastvit_t8', '1333 x 800, ratio kept'),
        ('semfpn_fastvit_t8', '2048 x 512, ratio kept'),
        ('handmesh_fastvit_t8', '224 x 224'),
    ],
)
def test_report_tells_the_size_of_the_pictures(root_dir, config, size):
    assert image_size(load_config(root_dir / f'configs/{config}.py', pretrained=False)) == size
