"""An exported file under corruptions."""

import pytest

from fastvit_dense import engine
from tests.tiny import read_report

pytestmark = pytest.mark.integration


def test_errors_of_hands(files, tiny_hand, tmp_path):
    engine.evaluate_checkpoint(
        tiny_hand, str(files('hand', 'onnx')), work_dir=str(tmp_path), corruptions='pixelate'
    )
    robustness = read_report(tmp_path)['robustness']
    assert len(robustness['by_corruption']['pixelate']['PA-MPJPE']) == 5
    assert robustness['rPC']['PA-MPJPE'] > 0
    assert 'more than 100 % of an error is worse' in (tmp_path / 'report.md').read_text()
