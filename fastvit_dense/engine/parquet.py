"""Predictions as a Parquet file, whole or not there; until it is written they are lines of JSON."""

import json
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..checkpoints.files import replacing
from ..errors import ConfigError, PredictionError
from ..results.columns import column_types
from .prediction_files import Lines

ROWS = 256  # of a row group: a hand's mesh has 2,334 numbers


def require_parquet() -> None:
    """Raise ConfigError unless Parquet files can be written."""
    if find_spec('pyarrow') is None:
        raise ConfigError(
            "--format parquet: pyarrow is not installed: pip install 'fastvit-dense[parquet]'"
        )


class ParquetLines(Lines):
    """Lines that become a Parquet file of the same columns when they are closed.

    Until then they lie beside it, in NAME.parquet.jsonl, and a killed run goes on from there.

    Args:
        path: The Parquet file.
        resume: Keep its rows, and the lines beside it.

    Raises:
        PredictionError: The file that is to be kept is no Parquet file of predictions.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        super().__init__(path.with_name(f'{path.name}.jsonl'), resume)
        self.target = path
        self.kept = resume and path.is_file()
        self.earlier = set(self._earlier_images()) if self.kept else set()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The records, those of the Parquet file first; a picture that stands in both counts once.

        Raises:
            PredictionError: A line is none.
        """
        if self.kept:
            yield from _read(self.target)
        yield from (record for record in super().__iter__() if record['image'] not in self.earlier)

    def close(self) -> None:
        """Write the Parquet file, and remove the lines.

        Raises:
            PredictionError: Lines of different models, which no table has room for.
        """
        super().close()
        if not (self.resume or self.file) or not self.path.is_file():
            return
        records = iter(self)
        first = next(records, None)
        if first is not None:
            with replacing(self.target) as part:
                _write(first, records, part, self.path)
            self.kept = True
        self.path.unlink()

    def _earlier_images(self) -> list[str]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.read_table(self.target, columns=['image'])['image'].to_pylist()
        except (pa.ArrowException, OSError, KeyError) as error:
            raise PredictionError(
                f'{self.target}: expected a Parquet file with a column "image", to go on with: '
                f'{str(error).splitlines()[0]:.160}'
            ) from error


def _write(
    first: dict[str, Any], others: Iterator[dict[str, Any]], path: Path, source: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = column_types(first)
    schema = pa.schema([(name, _arrow_type(kind)) for name, kind in types.items()])
    with pq.ParquetWriter(path, schema) as writer:
        for chunk in _chunks(chain([first], others)):
            rows = [_row(record, types, source) for record in chunk]
            try:
                table = pa.Table.from_pylist(rows, schema)
            except pa.ArrowException as error:
                raise PredictionError(
                    f'{source}: a line has values of another type: {error}'
                ) from error
            writer.write_table(table)


def _row(record: dict[str, Any], types: dict[str, Any], source: Path) -> dict[str, Any]:
    if record.keys() != types.keys():
        raise PredictionError(
            f'{source}: {record["image"]}: expected {", ".join(types)} as the first one has, found '
            f'{", ".join(record)}; for another model choose another --out-dir'
        )
    unknown = [key for key, kind in types.items() if kind is None]
    return {**record, **{key: json.dumps(record[key]) for key in unknown}}


def _read(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS):
            for row in batch.to_pylist():
                texts = [name for name, kind in column_types(row).items() if kind is None]
                yield _without_none({**row, **{name: json.loads(row[name]) for name in texts}})


def _chunks(records: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    source = iter(records)
    while chunk := list(islice(source, ROWS)):
        yield chunk


def _without_none(value: Any) -> Any:
    """The record before it was written: Parquet gives None for fields that a record has not."""
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list) else value


def _arrow_type(kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(kind, list):
        return pa.list_(_arrow_type(kind[0]))
    if isinstance(kind, dict):
        return pa.struct([(name, _arrow_type(one)) for name, one in kind.items()])
    return {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}.get(kind, pa.string())
