"""Runs that are killed at every step of saving: nothing is lost, and their end is the same."""

import os
import shutil
from pathlib import Path

import pytest
from mmengine.hooks import CheckpointHook, Hook

from fastvit_dense.engine.saving import WholeCheckpointHook
from fastvit_dense.errors import NonFiniteError, NotWrittenError
from tests.disk import change_disk, in_a_process, kill_me, small_disk
from tests.facts import raises_naming

from .small import assert_same_end, checkpoints, small_config, small_runner


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """Work dir of a run that nothing interrupted, and how many steps its saving took."""
    folder = tmp_path_factory.mktemp('whole') / 'run'
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        count_file_steps(patch, lambda: steps.append(1))
        small_runner(small_config(folder)).train()
    return folder, len(steps)


def count_file_steps(patch, act):
    """Call a function before each flush, rename and removal of a file."""
    for name in ('fsync', 'replace', 'remove', 'unlink'):
        call = getattr(os, name)

        def acted(*arguments, call=call, **keywords):
            act()
            return call(*arguments, **keywords)

        patch.setattr(os, name, acted)


class Killed(Hook):
    """The end of this process, somewhere."""

    def __init__(self, place, iteration):
        self.place, self.iteration = place, iteration

    def __getattribute__(self, name):
        if name == object.__getattribute__(self, 'place'):
            return lambda runner, *_, **__: runner.iter == self.iteration and kill_me()
        return object.__getattribute__(self, name)


def test_the_usual_end(whole):
    folder, _ = whole
    found = checkpoints(folder)
    assert list(found) == ['best_score_epoch_4.pth', 'epoch_4.pth']
    assert found['epoch_4.pth']['message_hub']['runtime_info']['best_score'] == 0.9
    assert (folder / 'last_checkpoint').read_text() == str(folder / 'epoch_4.pth')


def test_mmengine_writes_the_same(whole, tmp_path):
    """Its own hook saves the same weights under the same names."""
    cfg = small_config(tmp_path / 'run')
    runner = small_runner(cfg)
    (ours,) = (hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
    assert type(ours) is WholeCheckpointHook
    theirs = CheckpointHook(
        **{k: v for k, v in cfg.default_hooks.checkpoint.items() if k != 'type'}
    )
    runner._hooks[runner._hooks.index(ours)] = theirs
    runner.train()
    left, right = checkpoints(whole[0]), checkpoints(tmp_path / 'run')
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].keys() == right[name].keys()
        assert str(left[name]['state_dict']) == str(right[name]['state_dict'])


@pytest.mark.parametrize('every', [7, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_step_of_saving(whole, tmp_path, every):
    """Before a flush, rename or removal of four epochs; then resumed."""
    reference, steps = whole
    assert steps > 30
    for step in range(steps - 1, -1, -every):
        cfg = small_config(tmp_path / f'run_{step}')
        folder = Path(cfg.work_dir)

        def killed(cfg=cfg, step=step):
            left = iter(range(step))
            with pytest.MonkeyPatch.context() as patch:
                count_file_steps(patch, lambda: next(left, None) is None and kill_me())
                small_runner(cfg).train()

        assert in_a_process(killed) == -9
        saved = checkpoints(folder)  # all that has a name can be read
        if any(name.startswith('epoch_2') for name in saved):
            assert any(name.startswith('best_score') for name in saved)
        small_runner(cfg).train()
        assert_same_end(reference, folder)
        assert not [p for p in folder.iterdir() if p.name.startswith('.')]


@pytest.mark.parametrize('iteration', [2, 4, 8])
@pytest.mark.parametrize('place', ['before_val_epoch', 'after_val_iter', 'after_val'])
def test_killed_while_validating(whole, tmp_path, place, iteration):
    """The checkpoint is validated first: it is, or is not, the best as without the kill."""
    cfg = small_config(tmp_path / 'run')
    assert in_a_process(lambda: small_runner(cfg, hooks=[Killed(place, iteration)]).train()) == -9
    small_runner(cfg).train()
    assert_same_end(whole[0], tmp_path / 'run')


def test_killed_while_validating_in_a_loop_of_iterations(tmp_path):
    cfgs = [small_config(tmp_path / name, by_epoch=False, interval=2) for name in ('a', 'b')]
    loop = dict(train_cfg=dict(by_epoch=False, max_iters=9, val_interval=4))
    small_runner(cfgs[0], **loop).train()
    for iteration in (4, 8):
        hooks = [Killed('after_val_iter', iteration)]
        assert in_a_process(lambda: small_runner(cfgs[1], hooks=hooks, **loop).train()) == -9  # noqa: B023
    small_runner(cfgs[1], **loop).train()
    assert_same_end(tmp_path / 'a', tmp_path / 'b')
    assert (tmp_path / 'a/best_score_iter_8.pth').is_file()


def test_validated_once(tmp_path):
    """What was validated, or is not to be validated, is not when training goes on."""
    cfg = small_config(tmp_path / 'run')
    small_runner(cfg, epochs=2).train()  # the second is the best: saved again with its score
    validated = []

    class Note(Hook):
        def before_val(self, runner):
            validated.append(runner.epoch)

    small_runner(cfg, hooks=[Note()]).train()
    assert validated == [3, 4]
    validated.clear()
    settings = dict(train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=3))
    cfg = small_config(tmp_path / 'other')
    assert in_a_process(lambda: small_runner(cfg, hooks=[Killed('before_train_epoch', 4)]).train())
    (tmp_path / 'other/last_checkpoint').unlink()
    small_runner(cfg, hooks=[Note()], **settings).train()
    assert validated == [3]


def test_no_schedule_is_no_warning(tmp_path):
    """mmengine warns at each checkpoint that there is none to save."""
    small_runner(small_config(tmp_path / 'run'), epochs=1, param_scheduler=None).train()
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert 'save_param_scheduler' not in log.read_text()
    assert 'param_schedulers' not in checkpoints(tmp_path / 'run')['epoch_1.pth']


def test_folder_that_moved(whole, tmp_path):
    """With a pointer to where it was: training goes on here, and nothing there is touched."""
    cfg = small_config(tmp_path / 'old')
    small_runner(cfg, epochs=3).train()
    shutil.copytree(tmp_path / 'old', tmp_path / 'new')
    before = {path: path.read_bytes() for path in (tmp_path / 'old').glob('*.pth')}
    small_runner(small_config(tmp_path / 'new')).train()
    assert {path: path.read_bytes() for path in (tmp_path / 'old').glob('*.pth')} == before
    assert [*checkpoints(tmp_path / 'new')] == ['best_score_epoch_4.pth', 'epoch_4.pth']


def test_several_scores_and_published_files(tmp_path):
    cfg = small_config(tmp_path / 'run', save_best=['score'], published_keys=['meta', 'state_dict'])
    small_runner(cfg, epochs=2).train()
    found = checkpoints(tmp_path / 'run')
    published = {name: sorted(c) for name, c in found.items() if '-' in name}
    assert list(published.values()) == [['meta', 'state_dict']] * 2
    assert len(found) == 4


# --- what cannot be written --------------------------------------------------------------------


def test_checkpoint_that_does_not_fit_on_the_disk(whole, tmp_path):
    """Logs on another disk; the older checkpoint is whole, and training goes on from it."""
    with small_disk(tmp_path / 'disk', '100k') as disk:
        cfg = small_config(tmp_path / 'run', out_dir=str(disk))
        folder = disk / 'run'

        class Fill(Hook):
            def before_train_epoch(self, runner):
                if runner.epoch == 2:
                    free = shutil.disk_usage(disk).free
                    (disk / 'other').write_bytes(bytes(free - 8192))

        with raises_naming(
            NotWrittenError, folder / 'epoch_3.pth', 'No space left', 'bytes', '8,192 are free'
        ) as error:
            small_runner(cfg, hooks=[Fill()]).train()
        assert str(error.value).endswith(f'the last whole checkpoint is {folder}/epoch_2.pth')
        assert sorted(p.name for p in folder.iterdir()) == [
            'best_score_epoch_2.pth',
            'epoch_2.pth',
        ]
        (disk / 'other').unlink()
        small_runner(cfg).train()
        shutil.copy(tmp_path / 'run/last_checkpoint', folder)
        assert_same_end(whole[0], folder)


def test_disk_that_was_closed(tmp_path):
    with small_disk(tmp_path / 'disk', '1m') as disk:
        cfg = small_config(tmp_path / 'run', out_dir=str(disk))

        class Close(Hook):
            def before_train_epoch(self, runner):
                if runner.epoch == 1:
                    change_disk(disk, 'ro')

        with raises_naming(
            NotWrittenError, 'epoch_2.pth', 'Read-only file system', 'bytes', 'epoch_1.pth'
        ):
            small_runner(cfg, hooks=[Close()]).train()
        assert [*checkpoints(disk / 'run')] == ['best_score_epoch_1.pth', 'epoch_1.pth']


def test_work_dir_that_was_removed(tmp_path):
    cfg = small_config(tmp_path / 'run')

    class Remove(Hook):
        def before_train_epoch(self, runner):
            if runner.epoch == 1:
                shutil.rmtree(tmp_path / 'run')

    with raises_naming(
        NotWrittenError, tmp_path / 'run', 'bytes', 'there is no whole checkpoint'
    ) as error:
        small_runner(cfg, hooks=[Remove()]).train()
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'run/epoch_2.pth').exists()


def test_log_that_does_not_fit_on_the_disk(tmp_path, capfd):
    """One line as well: what a checkpoint needs, and what is whole."""
    with small_disk(tmp_path / 'disk', '300k') as disk:
        cfg = small_config(disk / 'run')
        cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)

        class Fill(Hook):
            def before_train_epoch(self, runner):
                if runner.epoch == 1:
                    with (disk / 'other').open('wb', buffering=0) as file:
                        try:
                            while True:
                                file.write(bytes(512))
                        except OSError:
                            pass

        with raises_naming(NotWrittenError, 'disk', 'No space left', 'bytes', 'epoch_1.pth'):
            small_runner(cfg, hooks=[Fill()]).train()
        assert 'Traceback' not in capfd.readouterr().err


# --- weights that are none ---------------------------------------------------------------------


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('name', ['weight', 'running_var'])
def test_weights_that_are_not_finite_are_not_written(tmp_path, name, value):
    cfg = small_config(tmp_path / 'run')
    cfg.default_hooks.non_finite = None

    class Spoil(Hook):
        priority = 'HIGH'

        def after_train_epoch(self, runner):
            if runner.epoch == 1:
                for tensor in runner.model.state_dict(keep_vars=True).items():
                    if tensor[0].endswith(name):
                        tensor[1].data.flatten()[0] = value

    path = tmp_path / 'run/epoch_2.pth'
    with raises_naming(NonFiniteError, path, 'not written', name, 'epoch_1.pth'):
        small_runner(cfg, hooks=[Spoil()]).train()
    assert [*checkpoints(tmp_path / 'run')] == ['best_score_epoch_1.pth', 'epoch_1.pth']


def test_a_score_that_is_none_is_never_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr('tests.engine.small.SCORES', {1: float('inf'), 2: float('nan'), 3: 0.1})
    cfg = small_config(tmp_path / 'run')
    small_runner(cfg, epochs=3).train()
    assert [*checkpoints(tmp_path / 'run')] == ['best_score_epoch_3.pth', 'epoch_3.pth']
