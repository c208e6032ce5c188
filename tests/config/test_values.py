"""Values of the command line: as mmengine reads them, but for blanks and quotes."""

import pytest
from mmengine.config import DictAction

from fastvit_dense.config.values import parse_value


@pytest.mark.parametrize(
    'text',
    ['1', '1e-3', '.5', '-2', 'text', 'a=b', 'True', 'false', 'None', '[1,2]', '(1,2)', '1,2',
     '[]', '()', '(1,)', "'[1,2]'", "'1'", '[(1, 2, 3), [a, b], c]', '1,(2,3)', '', 'inf'],
)  # fmt: skip
def test_as_mmengine_reads_them(text):
    expected = DictAction._parse_iterable(text)
    found = parse_value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('a b', 'a b'),
        ('data/my parts/', 'data/my parts/'),
        ("('a b', 'c,d', '2')", ('a b', 'c,d', '2')),
        ("['true', true, \"it's\", it's]", ['true', True, "it's", "it's"]),
        ("['(', ')']", ['(', ')']),
        ('((1,2),3)', ((1, 2), 3)),
        ('(1,2),(3,4)', [(1, 2), (3, 4)]),
    ],
)
def test_blanks_and_quotes_stay(text, expected):
    assert parse_value(text) == expected


@pytest.mark.parametrize('text', ['[1,2', '1,(2', '[1)', '((', "['a]", 'a)'])
def test_what_does_not_close(text):
    with pytest.raises(ValueError, match=r'closes nothing|is missing'):
        parse_value(f'{text},1')
