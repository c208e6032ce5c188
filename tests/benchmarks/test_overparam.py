"""Training steps with the branches and without: what is timed, and what is told of it."""

import pytest
import torch

from benchmarks.machine import BenchmarkError
from benchmarks.networks import Schedule
from benchmarks.overparam import PAPER, benchmark_overparam, make_step, overparam_table

from ..facts import raises_naming


def test_a_step_learns_and_has_one_branch_or_several():
    shape = 4, 3, 32, 32
    for overparameterized in (True, False):
        network, step = make_step('t8', overparameterized, shape, 'cpu')
        names = [name for name, _ in network.named_parameters()]
        assert any('small_conv' in name for name in names) == overparameterized
        losses = [float(step()) for _ in range(4)]
        assert losses[-1] < losses[0]


def test_paper_as_it_words_them():
    """'6.7 % longer' and '4.4 % longer' (section 3.2) are the hours of Table 3."""
    assert {arch: round(100 * value, 1) for arch, value in PAPER.items()} == {
        'sa12': 6.7,
        'sa36': pytest.approx(4.4, abs=0.1),
    }


def test_rows_and_table():
    schedule = Schedule(sizes=(32,), batch_sizes=(2,), rounds=3, seconds=0.1)
    results = benchmark_overparam(['t8'], schedule, progress=lambda text: None)
    (row,) = results['rows']
    assert row['parameters_with'] > row['parameters_without']
    assert len(row['rounds']) == 3
    assert row['quartiles'][0] <= row['more_time'] <= row['quartiles'][1]
    assert row['paper'] is None
    results['trainings'] = [
        {'seed': seed, 'form': form, 'metrics': {'mIoU': value + seed}}
        for form, value in (('with', 10.0), ('without', 9.0))
        for seed in (0, 1, 2)
    ]
    text = overparam_table(results)
    assert f'{row["parameters_without"] / 1e6:.3f}' in text
    assert '11 ± 0.82' in text
    assert '10 ± 0.82' in text


def test_unknown_variant():
    with raises_naming(BenchmarkError, 'sa13', 'sa12'):
        benchmark_overparam(['sa13'], Schedule())


@pytest.mark.slow  # trains and tests twice
@pytest.mark.integration
def test_trainings_differ_in_the_switch_alone(monkeypatch, root_dir):
    monkeypatch.chdir(root_dir)
    options = ['train_cfg.max_epochs=1', 'train_dataloader.dataset.indices=16']
    options += ['test_dataloader.dataset.indices=4', 'val_dataloader.dataset.indices=4']
    results = benchmark_overparam([], Schedule(), seeds=[0], cfg_options=options)
    assert [run['form'] for run in results['trainings']] == ['with', 'without']
    scores = [run['metrics']['mIoU'] for run in results['trainings']]
    assert all(torch.tensor(scores).isfinite())
