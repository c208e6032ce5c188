"""Values of the command line: numbers, words, and lists of them.

They are spelled as for mmengine's `DictAction`, except that blanks within words stay, and so does
what stands in quotes: `('traffic light', 'cups, mugs', '2')` holds three words.
"""

from collections.abc import Iterator
from typing import Any

BRACKETS = {'[': ']', '(': ')'}
QUOTES = ('"', "'")


def parse_value(text: str, words: bool = False) -> Any:
    """Read a value.

    Args:
        text: A number, a word, true, false, None, or a list: `1,2`, `[1,2]`, `(1,2)`, which may
            hold lists. Quotes around all of it, which some shells leave there, are taken off.
        words: Every entry is a word, without quotes too: names may be numbers, or `true`.

    Returns:
        A list for `[...]` and for commas alone, a tuple for `(...)`, else a single value.

    Raises:
        ValueError: Brackets or quotes that do not close.
    """
    text = text.strip()
    inside = _in_quotes(text)
    if inside is None:
        parts = list(_split(text))
        return [_entry(part, words) for part in parts] if len(parts) > 1 else _entry(text, words)
    return _entry(inside, words) if _in_brackets(inside) is not None or not words else inside


def _entry(text: str, words: bool) -> Any:
    text = text.strip()
    inside = _in_quotes(text)
    if inside is not None:
        return inside
    listed = _in_brackets(text)
    if listed is not None:
        entries = [_entry(part, words) for part in _split(listed)]
        return tuple(entries) if text[0] == '(' else entries
    return text if words else _single(text)


def _split(text: str) -> Iterator[str]:
    """Yield what stands between commas that no brackets or quotes hold; a last comma adds none."""
    open_brackets: list[str] = []
    quote, start, at_start = '', 0, True
    for i, char in enumerate(text):
        if quote:
            quote = '' if char == quote else quote
        elif char in QUOTES and at_start:
            quote = char
        elif char in BRACKETS:
            open_brackets.append(BRACKETS[char])
        elif char in BRACKETS.values():
            if not open_brackets or open_brackets.pop() != char:
                raise ValueError(f'{char!r} closes nothing')
        elif char == ',' and not open_brackets:
            yield text[start:i]
            start = i + 1
        at_start = char in ',[(' or (at_start and char == ' ')
    if quote or open_brackets:
        raise ValueError(f'{quote or open_brackets[-1]!r} is missing')
    if text[start:].strip():
        yield text[start:]


def _in_quotes(text: str) -> str | None:
    closed = len(text) > 1 and text[0] in QUOTES and text.find(text[0], 1) == len(text) - 1
    return text[1:-1] if closed else None


def _in_brackets(text: str) -> str | None:
    """Return what one pair of brackets around all of a text holds; None: there is none."""
    if text[:1] not in BRACKETS or text[-1:] != BRACKETS[text[0]]:
        return None
    return text[1:-1]


def _single(text: str) -> Any:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    constants = {'true': True, 'false': False}
    return None if text == 'None' else constants.get(text.lower(), text)
