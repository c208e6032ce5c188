"""The walk over a config."""

from fastvit_dense.config.walk import dicts_of

MODEL = dict(type='A', heads=[dict(type='B', loss=dict(type='C')), 3], sizes=(1, 2), neck=None)


def test_every_dict_and_its_place_the_outer_first():
    places = [(path, part['type']) for path, part in dicts_of(MODEL, 'model')]
    assert places == [('model', 'A'), ('model.heads.0', 'B'), ('model.heads.0.loss', 'C')]
    assert [path for path, _ in dicts_of(MODEL)] == ['', 'heads.0', 'heads.0.loss']
    assert [path for path, _ in dicts_of([MODEL, (MODEL,)])][::3] == ['0', '1.0']


def test_values_hold_no_dicts():
    assert list(dicts_of('word')) == list(dicts_of(None)) == list(dicts_of([])) == []


def test_dicts_may_be_changed_on_the_way():
    node = dict(old=dict(a=1), kept=dict(b=2))
    seen = []
    for path, part in dicts_of(node):
        seen.append(path)
        part.pop('old', None)
        if path == '':
            part['new'] = dict(c=3)
    assert seen == ['', 'kept', 'new']
