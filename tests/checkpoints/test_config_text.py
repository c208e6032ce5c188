"""Config texts are data: what mmengine writes comes back, everything else is refused unrun."""

import math

import pytest
from mmengine.config import Config

from fastvit_dense.checkpoints.config_text import parse_config_text


def test_what_mmengine_writes_comes_back():
    content = dict(
        model=dict(type='A', scale=-1.5, flags=[True, None, (1, 2)], names={'a b': {'c'}}),
        empty=dict(),
        one=('a',),
        sentence="it's 'quoted'\nand {brackets}",
        large=float('inf'),
        nested=[dict(x=[dict(y=(1, (2, 3)))])],
    )
    assert parse_config_text(Config(content).pretty_text) == content
    assert math.isnan(parse_config_text('a = nan')['a'])


@pytest.mark.parametrize(
    'text',
    [
        'open("{mark}", "w")',
        'a = open("{mark}", "w")',
        'a = dict(b=[open("{mark}", "w")])',
        'a = dict(**open("{mark}", "w"))',
        'a = (lambda: open("{mark}", "w"))()',
        'a = [x for x in [open("{mark}", "w")]]',
        'a = f"{{open(1)}}"',
        'a = b',
        'a = "".__class__',
        'a = b = 1',
        'a = 1 + 1',
        'a = -"x"',
        'a = {{[]: 1}}',
        'import os',
        'a = (',
        'a = ' + '(' * 5000,
        'a = ' + '-' * 100_000 + '1',
        'a = "' + 'x' * (1 << 21) + '"',
    ],
    ids=lambda text: text[:20],
)
def test_more_than_data_is_refused(text, tmp_path):
    mark = tmp_path / 'mark'
    with pytest.raises(ValueError, match=r'more than data|cannot be read|at most'):
        parse_config_text(text.replace('{mark}', str(mark)).replace('{{', '{').replace('}}', '}'))
    assert not mark.exists()


@pytest.mark.parametrize('text', [None, 7, b'a = 1'])
def test_what_is_no_text(text):
    with pytest.raises(ValueError, match='expected a text'):
        parse_config_text(text)
