"""A registered metric of one's own: its numbers reach report.json and `--verify`."""

import json

import pytest

from fastvit_dense.engine import evaluate_checkpoint


def test_beside_ours(variant, tiny_instance, trained, tmp_path):
    config = variant('with_share.py', tiny_instance)
    options = ['model.test_cfg.rcnn.score_thr=0.0']
    status = evaluate_checkpoint(
        config, str(trained), work_dir=str(tmp_path), verify=True, cfg_options=options
    )
    assert status == 0
    report = json.loads((tmp_path / 'report.json').read_text())
    assert 'bbox_mAP' in report['metrics']
    (check,) = report['expected']
    assert check['measured'] == report['metrics']['share_of_large_boxes']

    # the same share from the saved predictions
    entries = json.loads((tmp_path / 'predictions/instances.json').read_text())
    large = sum(min(entry['bbox'][2:]) > 32 for entry in entries)
    assert report['metrics']['share_of_large_boxes'] == pytest.approx(large / len(entries))


def test_alone_in_a_list_and_missed(variant, tiny_instance, trained, tmp_path, capsys):
    """A value that is missed is exit status 1, whatever metric it is of."""
    config = variant('with_share.py', tiny_instance)
    text = config.read_text().replace('[_base_.test_evaluator, ', '[')
    text = text.replace('value=0.5, tolerance=0.5', 'value=2.0, tolerance=0.5')
    config.write_text(text)
    assert evaluate_checkpoint(config, str(trained), work_dir=str(tmp_path), verify=True) == 1
    assert 'share_of_large_boxes: expected 2' in capsys.readouterr().out
    report = json.loads((tmp_path / 'report.json').read_text())
    assert list(report['metrics']) == ['share_of_large_boxes']
    assert report['samples'] == 4
