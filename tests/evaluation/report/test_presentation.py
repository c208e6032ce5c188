"""Which numbers lead a report."""

from fastvit_dense.evaluation.report.presentation import Presentation
from fastvit_dense.tasks import find_task


def test_headlines_lead_then_alternatives_then_what_there_is():
    words = Presentation('a task', headlines=('a', 'b'), alternatives=('c',))
    assert words.leading({'x': 1, 'c': 2, 'b': 3}) == ['b']
    assert words.leading({'x': 1, 'c': 2}) == ['c']
    assert words.leading(dict.fromkeys('vwxyz')) == list('vwxy')


def test_lvis_and_panoptic_segmentation_have_headlines_of_their_own():
    words = find_task('instance').presentation
    lvis = {f'{kind}_{name}': 0 for kind in ('bbox', 'segm') for name in ('AP', 'AP50', 'APr')}
    assert words.leading(lvis) == ['bbox_AP', 'segm_AP', 'segm_APr']
    assert words.leading({'SQ': 0, 'PQ': 0, 'PQ_st': 0}) == ['PQ', 'SQ', 'PQ_st']


def test_a_metric_of_another_task_names_the_report():
    words = Presentation('objects', titles={'PQ': 'segments'})
    titles = [words.shown({'metrics': m})['presentation'].title for m in ({'PQ': 1}, {'AP': 1}, {})]
    assert titles == ['segments', 'objects', 'objects']
