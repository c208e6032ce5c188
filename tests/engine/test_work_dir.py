"""A work dir is one run's at a time, and what stands in it is not lost."""

import errno
import fcntl
import os
import signal
import time

from mmengine.config import Config
from mmengine.logging import MMLogger

from fastvit_dense.engine.work_dir import (
    StartOver,
    check_unused,
    checkpoints_of,
    claimed,
    latest_checkpoint,
)
from fastvit_dense.errors import CheckpointError, ConfigError
from tests.disk import in_a_process, kill_me
from tests.facts import assert_names, raises_naming


def config(folder, **checkpoint):
    return Config(dict(work_dir=str(folder), default_hooks=dict(checkpoint=checkpoint)))


def fill(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()


# --- one run at a time -------------------------------------------------------------------------


def test_second_run_is_refused(tmp_path):
    def second():
        with raises_naming(ConfigError, tmp_path, 'another run', os.getppid()), claimed(tmp_path):
            pass

    with claimed(tmp_path):
        assert in_a_process(second) == 0
    with claimed(tmp_path):  # the first has ended
        pass


def test_dead_run_holds_nothing_though_its_workers_live(tmp_path):
    """Processes that load data outlive a main process that is killed, for a while."""
    pids = tmp_path / 'pids'

    def run():
        with claimed(tmp_path / 'work'):
            worker = os.fork()
            if not worker:
                time.sleep(600)
            pids.write_text(str(worker))
            kill_me()

    assert in_a_process(run) == -signal.SIGKILL
    worker = int(pids.read_text())
    try:
        os.kill(worker, 0)  # alive
        with claimed(tmp_path / 'work'):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)


def test_file_system_without_locks(tmp_path, monkeypatch, logged):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, 'lockf', refuse)
    with claimed(tmp_path):
        assert_names(logged[-1], tmp_path, 'no locks', 'No locks available')


# --- checkpoints of a former run ---------------------------------------------------------------


def test_which_files_are_a_trainings_own(tmp_path):
    ours = ('best_bbox_mAP_epoch_3.pth', 'epoch_3.pth', 'epoch_12.pth', 'iter_400.pth')
    others = ('pretrained.pth', 'epoch_3-0123abcd.pth', 'epoch_3.pth.bak', 'non_finite_iter_2.pt')
    fill(tmp_path, *ours, *others, 'model_0003.ckpt')
    assert {path.name for path in checkpoints_of(config(tmp_path))} == set(ours)
    named = config(tmp_path, filename_tmpl='model_{:04d}.ckpt')
    # what a run writes that is stopped within an epoch, and what the template names
    assert [path.name for path in checkpoints_of(named)] == ['iter_400.pth', 'model_0003.ckpt']
    other = tmp_path / 'other'
    fill(other, 'x')
    fill(other / tmp_path.name, 'epoch_5.pth')
    elsewhere = config(tmp_path, out_dir=str(other))
    assert checkpoints_of(elsewhere) == [other / tmp_path.name / 'epoch_5.pth']


def test_used_folder(tmp_path):
    check_unused(config(tmp_path / 'none'))
    fill(tmp_path, 'pretrained.pth')
    check_unused(config(tmp_path))
    fill(tmp_path, 'epoch_1.pth', 'epoch_2.pth')
    ways = ('--resume auto', '--work-dir', '--overwrite')
    with raises_naming(ConfigError, tmp_path, 2, 'epoch_1.pth', *ways):
        check_unused(config(tmp_path))


def test_start_over(tmp_path):
    """What a training wrote goes, and nothing else."""
    fill(tmp_path, 'epoch_1.pth', 'best_x_iter_3.pth', 'last_checkpoint', 'pretrained.pth', 'a.log')
    hook = StartOver(config(tmp_path))
    assert len(list(tmp_path.iterdir())) == 5

    class Runner:
        class logger:
            info = staticmethod(lambda text: None)

    hook.before_train(Runner)
    assert {path.name for path in tmp_path.iterdir()} == {'pretrained.pth', 'a.log'}


def test_nothing_to_resume_from(tmp_path, capsys):
    """It starts anew, and one line of the console says so."""
    MMLogger._instance_dict.clear()
    assert latest_checkpoint(config(tmp_path)) is None
    MMLogger._instance_dict.clear()
    (line,) = ''.join(capsys.readouterr()).splitlines()
    assert_names(line, '--resume', 'no checkpoint', tmp_path, 'starts anew', 'random weights')


def test_no_checkpoint_can_be_used(tmp_path):
    """Best checkpoints hold weights alone; nothing starts anew by itself."""
    fill(tmp_path, 'epoch_1.pth', 'epoch_2.pth', 'best_x_epoch_1.pth')
    facts = ('epoch_1.pth', 'empty', 'epoch_2.pth', 'empty', '--overwrite')
    with raises_naming(CheckpointError, tmp_path, *facts) as error:
        latest_checkpoint(config(tmp_path))
    assert '\n' not in str(error.value)
