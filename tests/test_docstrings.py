"""Docstrings open with a verb or a noun."""

import ast
import re

QUESTION = re.compile(r'(What|Whether|How|Which|Where|When|Why|Who|If)\b')
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def openings(path):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, DOCUMENTED) and (docstring := ast.get_docstring(node)):
            yield getattr(node, 'name', 'module'), docstring.splitlines()[0]


def test_no_docstring_opens_with_a_question_word(root_dir):
    files = [
        p
        for folder in ('fastvit_dense', 'benchmarks', 'tools')
        for p in (root_dir / folder).rglob('*.py')
    ]
    assert len(files) > 100
    found = [
        f'{path.relative_to(root_dir)}: {name}: {first}'
        for path in files
        for name, first in openings(path)
        if QUESTION.match(first)
    ]
    assert not found, '\n'.join(found)
