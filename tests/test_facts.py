import warnings

import pytest

from .facts import assert_names, raises_naming, warns_naming

MESSAGE = "data/a.jpg: box: expected (10,) or 'cat', found (2, 100) and 0.25"


@pytest.mark.parametrize(
    'facts',
    [
        ['a.jpg', 'box', (10,), 'found', (2, 100), 0.25],
        ['data/a.jpg', 10, 'cat', 100],
        ["'cat'"],
    ],
)
def test_facts_that_a_message_names(facts):
    assert_names(MESSAGE, *facts)
    assert_names(ValueError(MESSAGE), *facts)


@pytest.mark.parametrize(
    ('facts', 'missing'),
    [
        (['b.jpg'], 'b.jpg'),
        (['.jpg', 'bo'], 'bo'),
        (['a.jpg', 1], '1'),
        ([25], '25'),
        ([0], '0'),
        (['ta/a.jpg'], 'ta/a.jpg'),
        (['found', 'expected'], 'expected'),
        ([(2, 100), (10,)], '(10,)'),
        ([10, 10], '10'),
    ],
)
def test_a_fact_that_is_missing_is_told(facts, missing):
    with pytest.raises(AssertionError) as error:
        assert_names(MESSAGE, *facts)
    assert f'{missing!r} is not named' in str(error.value)
    assert MESSAGE in str(error.value)


def test_without_facts_nothing_is_asserted():
    def refuse(*facts):
        with raises_naming(ValueError, *facts):
            raise ValueError(MESSAGE)

    for look in (lambda: assert_names(MESSAGE), lambda: assert_names(MESSAGE, ''), refuse):
        with pytest.raises(AssertionError):
            look()


def test_the_class_is_the_one_that_is_named():
    def expect(kind, error):
        with raises_naming(kind, 'a.jpg') as caught:
            raise error
        return caught.value

    error = FileNotFoundError(MESSAGE)
    assert expect(FileNotFoundError, error) is error
    with pytest.raises(AssertionError):
        expect(OSError, error)
    with pytest.raises(AssertionError):
        expect(FileNotFoundError, FileNotFoundError('b.jpg'))
    with pytest.raises(FileNotFoundError):
        expect(ValueError, error)
    with pytest.raises(pytest.fail.Exception), raises_naming(ValueError, 'a.jpg'):
        pass


def test_one_warning_names_the_facts():
    def warn(*facts, times=1, kind=UserWarning):
        with warns_naming(UserWarning, *facts):
            warnings.warn('something else', stacklevel=1)
            for _ in range(times):
                warnings.warn(MESSAGE, kind, stacklevel=1)

    warn('a.jpg', (10,))
    for wrong in (
        lambda: warn(),
        lambda: warn('b.jpg'),
        lambda: warn('a.jpg', times=0),
        lambda: warn('a.jpg', times=2),
        lambda: warn('a.jpg', kind=RuntimeWarning),
    ):
        with pytest.raises(AssertionError):
            wrong()
