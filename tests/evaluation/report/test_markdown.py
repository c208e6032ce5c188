"""The report as Markdown: tables, the paper's values beside ours, hostile names."""

import math

from tests.evaluation.samples import (
    hand_result,
    instance_result,
    published_rows,
    semantic_result,
    write_task_report,
)


def headline(folder):
    lines = (folder / 'report.md').read_text(encoding='utf-8').splitlines()
    cells = [
        [cell.strip() for cell in line.strip('|').split('|')] for line in lines if line[:1] == '|'
    ]
    return {row[0]: row[1:] for row in cells[2:6]}


def test_markdown_puts_the_papers_value_beside_ours(tmp_path):
    references = published_rows('instance', 'COCO', 5000, 'sa24')
    write_task_report(instance_result(), tmp_path, references=references)
    assert headline(tmp_path)['box AP (bbox_mAP)'] == ['0.4188', '0.420', '−0.0012']
    text = (tmp_path / 'report.md').read_text(encoding='utf-8')
    assert 'Scored on COCO val2017, 5,000 images.' in text
    assert 'Sample data' not in text
    assert '| PoolFormer-S24 ' in text


def test_on_sample_data_no_published_value_is_shown(tmp_path):
    result = hand_result(dataset='FreiHAND sample', samples=100, stand_in=True)
    references = published_rows('hand', result.dataset, result.samples, 'ma36')
    write_task_report(result, tmp_path, references=references)
    for name in ('report.md', 'report.html'):
        text = (tmp_path / name).read_text(encoding='utf-8')
        assert 'Sample data: the numbers show that everything runs' in text
        assert 'Stand-in hand, not MANO' in text
        assert 'ICCV' not in text
        assert 'METRO' not in text
    assert headline(tmp_path)['PA-MPJPE, joints (PA-MPJPE)'] == ['6.61 mm', '–', '–']


def test_a_score_that_coco_leaves_undefined_is_a_dash(tmp_path):
    write_task_report(instance_result(), tmp_path)
    text = (tmp_path / 'report.md').read_text(encoding='utf-8')
    (line,) = [line for line in text.splitlines() if line.startswith('| bbox_mAP_s')]
    assert line.split('|')[3].strip() == '–'


def test_hostile_names_stay_text_in_markdown(tmp_path):
    write_task_report(semantic_result(('a|b', '<script>x</script>', 'c\n# d', '[l](x)')), tmp_path)
    text = (tmp_path / 'report.md').read_text(encoding='utf-8')
    assert '<script>' not in text
    assert '\n# d' not in text
    assert 'a\\|b' in text
    assert '[l](x)' not in text


def test_freihands_marks_of_a_missing_mesh_are_dashes(tmp_path):
    result = hand_result()
    result.metrics |= {'mesh_mean3d': -100.0, 'mesh_auc3d': -1.0, 'PA-MPVPE': math.nan}
    report = write_task_report(result, tmp_path)
    assert report['metrics']['mesh_mean3d'] == -100.0
    assert report['metrics']['PA-MPVPE'] is None
    text = (tmp_path / 'report.md').read_text(encoding='utf-8')
    lines = {line.split('|')[1].strip(): line for line in text.splitlines() if line[:1] == '|'}
    for name in ('mesh_mean3d', 'mesh_auc3d'):
        assert lines[name].split('|')[3].strip() == '–'
    assert headline(tmp_path)['PA-MPVPE, vertices (PA-MPVPE)'][0] == '–'
