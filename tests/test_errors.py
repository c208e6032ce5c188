import inspect

import pytest
from torch.utils.data import DataLoader, Dataset

from fastvit_dense import errors
from fastvit_dense.cli.common import run
from fastvit_dense.errors import (
    DataError,
    FastViTDenseError,
    MissingFileError,
    NotWrittenError,
    reason_of,
)


def test_all_have_one_base():
    classes = [found for _, found in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) > 5
    assert all(issubclass(found, FastViTDenseError) for found in classes)


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (ValueError('too long'), 'too long'),
        (AssertionError(), 'AssertionError without a message'),
        (OSError(''), 'OSError without a message'),
        (RuntimeError(' \n'), 'RuntimeError without a message'),
    ],
)
def test_a_reason_is_never_empty(error, reason):
    assert reason_of(error) == reason


class Broken(Dataset):
    def __init__(self, kind):
        self.kind = kind

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise self.kind('a.jpg: expected an image, found none')


@pytest.mark.parametrize('kind', [DataError, MissingFileError])
def test_an_error_of_a_loading_process_comes_without_its_traceback(kind):
    with pytest.raises(kind) as caught:
        list(DataLoader(Broken(kind), num_workers=1))
    assert caught.type is kind
    assert str(caught.value) == 'a.jpg: expected an image, found none'


def test_ctrl_c_is_no_error_of_what_it_interrupts(capsys):
    """mmengine formats a config beside a bare `except`, and made a page of SyntaxError of it."""

    def interrupted(_):
        try:
            raise KeyboardInterrupt
        except:  # noqa: E722
            raise SyntaxError('check the syntax of: ...')  # noqa: B904

    with pytest.raises(SystemExit) as end:
        run(interrupted)
    assert end.value.code == 130
    assert capsys.readouterr().err == 'interrupted\n'


def test_what_ctrl_c_could_not_save_is_told(capsys):
    def interrupted(_):
        try:
            raise KeyboardInterrupt
        finally:
            raise NotWrittenError('out: no space left')

    with pytest.raises(SystemExit) as end:
        run(interrupted)
    assert end.value.code == 1
    assert capsys.readouterr().err == 'NotWrittenError: out: no space left\n'
