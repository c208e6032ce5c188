"""What errors and warnings must tell their reader: facts, whatever the words around them.

A test asserts the class of an error, which is what a program reacts to, and the facts that a reader
needs: file, field, expected value, found value, in this order, which is that of the package's
messages. Wording is left to the messages, except where the wording itself helps: a command to
type, a hint such as "did you mean".
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


def assert_names(message: object, *facts: object) -> None:
    """Assert that a message names facts, each after the one before.

    A fact stands in the message as it is printed and as a whole: ``10`` is not named by 'found
    100' or 'found 0.10', ``a.jpg`` not by 'data.jpg'.

    Args:
        message: An error, a warning or a text.
        *facts: Names, numbers, shapes, paths; at least one.
    """
    assert facts, 'no fact to look for is given'
    text = str(message)
    start = 0
    for fact in map(str, facts):
        assert fact.strip(), 'an empty text is no fact'
        found = _as_a_whole(fact).search(text, start)
        place = f' after {text[:start]!r}' if start else ''
        assert found, f'{fact!r} is not named{place} in {text!r}'
        start = found.end()


@contextmanager
def raises_naming(kind: type[BaseException], *facts: object) -> Iterator[pytest.ExceptionInfo]:
    """Expect an error of exactly this class, not of a subclass, that names the facts.

    Args:
        kind: The class of the error.
        *facts: As of `assert_names`.

    Yields:
        pytest's information on the error, whose ``value`` it has after the block.
    """
    assert facts, 'no fact to look for is given'
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.type is kind, f'expected {kind.__name__}, found {caught.type.__name__}'
    assert_names(caught.value, *facts)


@contextmanager
def warns_naming(kind: type[Warning], *facts: object) -> Iterator[None]:
    """Expect one warning of exactly this class that names the facts, beside any others.

    Args:
        kind: The class of the warning.
        *facts: As of `assert_names`.
    """
    assert facts, 'no fact to look for is given'
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        yield
    messages = [str(warning.message) for warning in caught if warning.category is kind]
    named = [message for message in messages if _names(message, facts)]
    assert len(named) == 1, f'{len(named)} of these warnings name {facts}: {messages}'


def _names(message: str, facts: tuple) -> bool:
    try:
        assert_names(message, *facts)
    except AssertionError:
        return False
    return True


def _as_a_whole(fact: str) -> re.Pattern:
    before = r'(?<!\w)' if re.match(r'\w', fact) else ''
    after = r'(?!\w)' if re.match(r'\w', fact[-1]) else ''
    if fact[0].isdigit():
        before += r'(?<!\d[.,])'
    if fact[-1].isdigit():
        after += r'(?![.,]\d)'
    return re.compile(before + re.escape(fact) + after)
