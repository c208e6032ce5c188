"""Parquet files of predictions: what the lines say, whole or not there, and gone on with."""

import json

import pytest
from PIL import Image

from fastvit_dense import engine
from fastvit_dense.engine.parquet import ParquetLines, require_parquet
from fastvit_dense.errors import ConfigError, PredictionError
from tests.facts import raises_naming

RECORD = {'image': 'a.jpg', 'file_name': 'a.jpg', 'height': 4, 'width': 5, 'task': 'instance'}
ITEM = {
    'bbox': [0.1, 1 / 3, 2.0, 1e-9],
    'score': 0.25,
    'label': 1,
    'class': 'ä',
    'category_id': 7,
    'segmentation': {'size': [4, 5], 'counts': 'ab\\c'},
}
BOX = {'bbox': [0.0, 1.0, 2.0, 3.0], 'score': 0.5, 'label': 0, 'class': 'b'}


def test_missing_pyarrow_is_one_line(monkeypatch):
    from fastvit_dense.engine import parquet

    monkeypatch.setattr(parquet, 'find_spec', lambda name: None)
    with raises_naming(ConfigError, '--format parquet', 'pip install', '[parquet]'):
        require_parquet()


@pytest.fixture
def written(tmp_path):
    """`written(records, resume)`: a closed file of them."""
    pytest.importorskip('pyarrow')

    def write(records, resume=False):
        lines = ParquetLines(tmp_path / 'x.parquet', resume)
        for record in records:
            lines.write(record)
        lines.close()
        return lines

    return write


def test_rows_are_the_records(written, tmp_path):
    """No object in the first pictures; fields that only some have; a thousand rows."""
    import pyarrow.parquet as pq

    records = [
        {**RECORD, 'image': f'{i}.jpg', 'instances': [[], [ITEM], [BOX, ITEM]][i % 3]}
        for i in range(1000)
    ]
    lines = written(records)
    assert [path.name for path in tmp_path.iterdir()] == ['x.parquet']
    assert list(lines) == records
    table = pq.read_table(tmp_path / 'x.parquet')
    assert table.column_names == list(records[0])
    assert table['instances'][2].as_py()[1] == ITEM
    nothing = written([{**RECORD, 'instances': []}])
    assert pq.read_schema(nothing.target) == table.schema.remove_metadata()


def test_going_on(written, tmp_path):
    """Rows, lines that a killed run left (the last one cut), and new ones: each once."""
    records = [{**RECORD, 'image': f'{i}.jpg', 'instances': [ITEM]} for i in range(4)]
    written(records[:2])
    beside = tmp_path / 'x.parquet.jsonl'
    left = [json.dumps(record) for record in records[1:3]]
    beside.write_text('\n'.join([*left, left[1][:40]]))
    lines = ParquetLines(tmp_path / 'x.parquet', resume=True)
    assert list(lines) == records[:3]
    lines.write(records[3])
    lines.close()
    assert list(lines) == records
    assert not beside.exists()
    before = lines.target.stat().st_mtime_ns
    assert list(written([], resume=True)) == records
    assert lines.target.stat().st_mtime_ns == before


def test_an_error_leaves_the_file_and_the_lines(written, tmp_path):
    """Lines of another model, and of damaged values."""
    records = [{**RECORD, 'instances': [ITEM]}]
    lines = written(records)
    before = lines.target.read_bytes()
    other = {**RECORD, 'image': 'b.jpg', 'task': 'semantic', 'size': [4, 5], 'classes': []}
    with raises_naming(PredictionError, 'x.parquet.jsonl', 'b.jpg', 'instances', '--out-dir'):
        written([other], resume=True)
    assert lines.target.read_bytes() == before
    (tmp_path / 'x.parquet.jsonl').unlink()
    with raises_naming(PredictionError, 'x.parquet.jsonl', 'another type'):
        written([{**RECORD, 'image': 'c.jpg', 'height': 'four', 'instances': []}], resume=True)
    assert lines.target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['x.parquet', 'x.parquet.jsonl']


def test_files_that_cannot_be_gone_on_with(written, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / 'x.parquet'
    for content in (b'', b'no table', b'PAR1' + bytes(100) + b'PAR1'):
        path.write_bytes(content)
        with raises_naming(PredictionError, path, 'Parquet', '"image"'):
            ParquetLines(path, resume=True)
    pq.write_table(pa.table({'x': [1]}), path)
    with raises_naming(PredictionError, path, 'Parquet', '"image"'):
        ParquetLines(path, resume=True)


def test_lines_that_an_earlier_run_left_do_not_count_anew(written, tmp_path):
    (tmp_path / 'x.parquet.jsonl').write_text(json.dumps({**RECORD, 'instances': []}) + '\n')
    written([])
    assert not (tmp_path / 'x.parquet').exists()
    fresh = [{**RECORD, 'image': 'b.jpg', 'instances': []}]
    assert list(written(fresh)) == fresh


@pytest.mark.parametrize('task', ['instance', 'semantic', 'hand'])
def test_predict_writes_what_the_lines_say(request, task, photo, tmp_path, capsys):
    pq = pytest.importorskip('pyarrow.parquet')
    config = str(request.getfixturevalue(f'tiny_{task}'))
    names = {'instance': 'trained', 'semantic': 'trained_semantic', 'hand': 'random_hand'}
    model = (config, str(request.getfixturevalue(names[task])))
    for number in range(4):
        Image.fromarray(photo[: 80 + number]).save(tmp_path / f'{number}.png')
    source, out = f'{tmp_path}/*.png', tmp_path / 'out'
    settings = dict(pictures=False, shard='2/2')
    engine.predict(*model, source, str(out), **settings)
    engine.predict(*model, f'{tmp_path}/[01].png', str(out), format='parquet', **settings)
    capsys.readouterr()
    found = engine.predict(*model, source, str(out), format='parquet', resume=True, **settings)
    shown = capsys.readouterr().out
    table = out / 'predictions-2-of-2.parquet'
    assert found == [out / '3_labels.png' if task == 'semantic' else table]
    assert '1 pictures are done already' in shown
    assert 'rows of a Parquet file' in shown
    lines = (out / 'predictions-2-of-2.jsonl').read_text().splitlines()
    records = [json.loads(line) for line in lines]
    rows = ParquetLines(table, resume=True)
    assert [one['image'] for one in rows] == [one['image'] for one in records]
    assert pq.read_schema(table).names == list(records[0])
    for row, record in zip(rows, records, strict=True):
        assert row.keys() == record.keys()
        assert same(row, record)


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == pytest.approx(other, abs=1e-6) if isinstance(one, float) else one == other


def test_annotations_come_of_the_table_too(tiny_instance, trained, photo, tmp_path):
    pytest.importorskip('pyarrow')
    Image.fromarray(photo).save(tmp_path / 'a.png')
    options = (str(tiny_instance), str(trained), str(tmp_path / 'a.png'), str(tmp_path / 'out'))
    for resume in (False, True):
        engine.predict(*options, format='parquet', as_annotations=True, resume=resume)
        content = json.loads((tmp_path / 'out/annotations.json').read_text())
        assert [image['file_name'] for image in content['images']] == ['a.png']
    assert not list((tmp_path / 'out').glob('*.jsonl'))
    assert (tmp_path / 'out/a.png').is_file()
