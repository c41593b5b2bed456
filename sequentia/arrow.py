"""Convert names from ids to Arrow columns directly. Needs the extra ``[arrow]``."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from .case import Case, in_case
from .errors import GenerationError, MissingExtraError, OptionError
from .vocabulary import Names, Vocabulary

try:
    import pyarrow as pa
    from pyarrow import parquet
except ModuleNotFoundError as error:
    raise MissingExtraError.of("pyarrow", "arrow") from error

_BUFFER: Final = 1 << 16  # bytes of a column that are read at a time


def collect(
    batches: Iterable[Names],
    vocabulary: Vocabulary,
    score: Callable[[list[str]], NDArray[np.float64]] | None,
    case: Case | None,
    titles: tuple[str, str, str],
) -> pa.ChunkedArray | pa.Table:
    """Return names as a column, or with a function that scores them as a table of names and scores, a chunk per batch.

    In a letter case, the table has a third column: the names that were scored, as the model spells them.

    Args:
        batches: ids of names.
        vocabulary: the alphabet.
        score: returns the scores of names, float64 [names].
        case: the letter case; None for the model's own.
        titles: of the three columns.

    Raises:
        GenerationError: as the batches do; ``error.names`` is the list of those found before.
    """
    names, scores, spelled = [], [], []
    try:
        for batch in batches:
            names.append(strings(batch, vocabulary, case))
            if score is not None:
                scores.append(pa.array(score(vocabulary.decode(batch))))
                spelled.append(strings(batch, vocabulary))
    except GenerationError as error:
        raise error.with_names(_column(names, pa.string()).to_pylist()) from error.__cause__
    column = _column(names, pa.string())
    if score is None:
        return column
    columns = [column, _column(scores, pa.float64()), *([] if case is None else [_column(spelled, pa.string())])]
    return pa.table(columns, names=titles[: len(columns)])


def _column(chunks: list[pa.Array], kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array(chunks, type=kind)  # the type of no chunks


def strings(names: Names, vocabulary: Vocabulary, case: Case | None = None) -> pa.StringArray:
    """Return a batch of names as an array of strings, in the model's own case built from their UTF-8 bytes and offsets.

    Args:
        names: their ids.
        vocabulary: the alphabet.
        case: the letter case; by default the model's own.
    """
    if case is not None:
        return pa.array(in_case(vocabulary.decode(names), case), pa.string())
    text, lengths = vocabulary.to_utf8(names)
    offsets = np.zeros(len(names) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.StringArray.from_buffers(len(names), pa.py_buffer(offsets), pa.py_buffer(text))


def table_of_texts(names: list[str], columns: list[list[str]]) -> pa.Table:
    """Return columns of texts as a table."""
    return pa.table([pa.array(column, pa.string()) for column in columns], names=names)


class ParquetTable:
    """A Parquet file that is being written, one row group per batch of names.

    Args:
        file: the file to write to.
        columns: the name of the column of names, then that of the scores and of further texts if there are any.
        scored: whether the second column is that of the scores.
    """

    def __init__(self, file: BinaryIO, columns: list[str], *, scored: bool) -> None:
        types = [pa.float64() if scored and place == 1 else pa.string() for place in range(len(columns))]
        self._schema = pa.schema([pa.field(name, kind, False) for name, kind in zip(columns, types, strict=True)])
        self._writer = parquet.ParquetWriter(file, self._schema)

    def write(self, names: Names, vocabulary: Vocabulary, scores: NDArray[np.float64] | None) -> None:
        """Write a batch of names, and their scores, float64 [names], if there is a column for them."""
        columns = [strings(names, vocabulary), *([] if scores is None else [pa.array(scores)])]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def write_texts(self, texts: list[str], scores: NDArray[np.float64] | None, *others: list[str]) -> None:
        """Write a batch of names given as text, and the columns beside it: scores, float64 [names], and texts."""
        columns = [pa.array(texts, pa.string()), *([] if scores is None else [pa.array(scores)])]
        columns += [pa.array(each, pa.string()) for each in others]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


def count_rows(path: Path, column: str) -> int:
    """Return the number of rows in a Parquet file that has the column, from its footer."""
    return int(_opened(path, column).metadata.num_rows)


def names_of_columns(path: Path) -> list[str]:
    """Return the names of the columns of a Parquet file."""
    return list(_opened(path).schema_arrow.names)


def read_rows(path: Path, columns: list[str], most: int) -> Iterator[tuple[object, ...]]:
    """Yield the values of some columns of a Parquet file, row by row; ``most`` rows are read at a time."""
    source = _opened(path, *columns, buffer_size=_BUFFER)
    for batch in _batches(source, path, most, columns=columns, use_threads=False):
        yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


def read_column(path: Path, column: str, first: int, count: int, most: int) -> Iterator[list[str]]:
    """Yield ``count`` values of a column of a Parquet file from index ``first`` on, in batches of at most ``most``."""
    source, before = _opened(path, column), 0
    for group in range(source.num_row_groups):
        rows = source.metadata.row_group(group).num_rows
        start, stop = max(first - before, 0), min(first + count - before, rows)
        before += rows
        place = 0
        if start >= stop:
            continue
        for batch in _batches(source, path, most, row_groups=[group], columns=[column]):
            names = batch.column(0)[max(start - place, 0) : max(stop - place, 0)]
            place += len(batch)
            if len(names):
                yield names.to_pylist()


def _batches(source: parquet.ParquetFile, path: Path, most: int, **selection: object) -> Iterator[pa.RecordBatch]:
    batches = source.iter_batches(most, **selection)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise OptionError(f"{path} is damaged: {error}", option="input", value=path) from error
        if batch is None:
            return
        yield batch


def _opened(path: Path, *columns: str, buffer_size: int = 0) -> parquet.ParquetFile:
    try:
        source = parquet.ParquetFile(path, buffer_size=buffer_size)
    except pa.ArrowInvalid as error:
        raise OptionError(f"{path} is no Parquet file: {error}", option="input", value=path) from error
    for column in columns:
        if column not in source.schema_arrow.names:
            raise OptionError(f"{path} has no column {column!r}", option="input", value=path)
    return source
