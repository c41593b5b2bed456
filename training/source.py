"""Read the items of a file batch by batch, and the conditions, weights and parts beside them."""

import hashlib
import shlex
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from sequentia.columns import LINES, ColumnRequest, by_position, choose
from sequentia.config import MAX_LENGTH, Columns
from sequentia.errors import CorpusError, OptionError
from sequentia.guess import find_table, is_heading
from sequentia.tables import (
    JsonTable,
    Numbered,
    ParquetTable,
    Table,
    format_of,
    json_rows,
    look_at_lines,
    opened,
    table_of,
)
from sequentia.text import RemovedCharacters, TextError, clean, read_lines

from .labels import Labels, clean_cell

_LINES_AT_ONCE: Final = 1 << 14
_ROWS_AT_ONCE: Final = 1 << 12
_ADVICE: Final = "the file needs to be text with one item a line, or a table whose columns are given: --column"


class Source:
    """The items of a file.

    Args:
        path: the file.
        columns: what to read of a table.

    Attributes:
        digest: hash of the file, complete once the items were read.
        unit: what holds an item: "line" or "row".
        columns: what is read of the table; None if lines are items.
        labels: the conditions, weights and parts of the items read so far; None if lines are items.
    """

    def __init__(self, path: Path, columns: ColumnRequest | Columns | None) -> None:
        self.digest = hashlib.sha256()
        self.unit = "line"
        self.columns: Columns | None = None
        self.labels: Labels | None = None
        self._path = path
        self._request = columns
        self._removed = RemovedCharacters()

    def batches(self) -> Iterator[list[str]]:
        """Yield lists of items: stripped, NFC, none empty.

        Raises:
            CorpusError: if the file cannot be read.
        """
        path = self._path
        try:
            if path.suffix.lower() == ".json":
                raise TextError("a JSON array cannot be read row by row; write it as .jsonl, one object in each line")
            yield from self._parquet() if format_of(path).kind == "parquet" else self._text()
        except OSError as error:
            reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
            raise CorpusError(f"{path}: cannot read the corpus: {reason}", path=path) from error
        except TextError as error:
            raise CorpusError(f"{path}: {error}", path=path, line=error.line, byte=error.byte) from error
        except OptionError as error:
            raise CorpusError(str(error), path=path) from error
        self._removed.warn(path)

    def _text(self) -> Iterator[list[str]]:
        """Yield the items of a file that is not Parquet."""
        kind, request = format_of(self._path).kind, self._request
        with opened(self._path, self.digest.update) as file:
            lines = read_lines(file)
            as_lines = request is not None and request.item == LINES
            if request is not None and as_lines:
                if request != type(request)(item=LINES):
                    raise TextError("--column 0 makes each line an item, so it goes with no other columns")
                self.columns = Columns(item=LINES)
            if as_lines or (kind == "text" and request is None):
                yield from _batched(self._lines(lines, checked=not as_lines), _LINES_AT_ONCE)
            elif kind == "jsonl" and request is None:
                yield from self._json(lines)
            else:
                yield from self._rows(table_of(lines, kind, named=not by_position(request)))

    def _lines(self, lines: Iterator[Numbered], *, checked: bool) -> Iterator[str]:
        """Yield the items of a file with one in each line.

        Args:
            lines: the numbers of the lines, and their text.
            checked: refuse lines that look like a table.
        """
        try:
            if checked:
                seen, lines = look_at_lines(lines)
                self._refuse_table(seen)
            for number, text in lines:
                item = clean(text, number, self._removed)
                if len(item) > MAX_LENGTH:
                    raise TextError(f"line {number} has more than {MAX_LENGTH:,} characters", number)
                if item:
                    yield item
        except TextError as error:
            raise TextError(f"{error}; {_ADVICE}", error.line, error.byte) from error

    def _refuse_table(self, lines: list[str]) -> None:
        found = find_table(lines)
        if found is not None:
            raise CorpusError(
                f"{self._path}: its lines look like a table of {found.columns} columns separated by {found.separator} "
                f"({found.shown}); read it as one: sequentia train {shlex.quote(str(self._path))} {found.options}, "
                f"or as lines: --column {LINES}",
                path=self._path,
            )

    def _json(self, lines: Iterator[Numbered]) -> Iterator[list[str]]:
        """Yield the items of JSON Lines, each a string or an object."""
        rows = json_rows(lines, "neither a string nor an object")
        first = next(rows, None)
        if first is None:
            return
        if not isinstance(first[1], str):
            yield from self._rows(JsonTable(_chain(first, rows)))
            return
        yield from _batched(self._strings(_chain(first, rows)), _LINES_AT_ONCE)

    def _strings(self, rows: Iterator[tuple[int, object]]) -> Iterator[str]:
        for number, value in rows:
            if not isinstance(value, str):
                raise TextError(f"line {number} is an object, but the lines before are strings", number)
            yield clean_cell(value, f"line {number}", number, MAX_LENGTH, self._removed)

    def _parquet(self) -> Iterator[list[str]]:
        if format_of(self._path).packed:
            raise TextError("Parquet within gzip cannot be read; unpack the file")
        if self._request is not None and self._request.item == LINES:
            raise TextError("a Parquet file has no lines, so there is no column 0")
        with self._path.open("rb") as file:
            while data := file.read(1 << 20):
                self.digest.update(data)
        yield from self._rows(ParquetTable(self._path))

    def _rows(self, table: Table) -> Iterator[list[str]]:
        """Yield the items of a table, and read its labels."""
        self.unit = "row"
        self.columns, places = choose(table, self._request)
        only = table.names[0] if self._request is None and table.naming == "header" and len(table.names) == 1 else None
        if only is not None and not is_heading(only):
            warnings.warn(
                f"{self._path}: the first line, {only!r}, is taken as the name of the only column; if it is an item, "
                "say so: --column 1",
                stacklevel=2,
            )
        self.labels = Labels(self.columns, table.unit, self._removed)
        item_column = self.columns.item
        rows = table.rows(places)
        while batch := list(islice(rows, _ROWS_AT_ONCE)):
            numbers = [number for number, _ in batch]
            items, *others = zip(*(cells for _, cells in batch), strict=True)
            cleaned = [
                clean_cell(item, f"{table.unit} {number}, column {item_column!r}", number, MAX_LENGTH, self._removed)
                for number, item in zip(numbers, items, strict=True)
            ]
            self.labels.add(numbers, others)
            yield cleaned
        self.labels.check()


def _chain(first: tuple[int, object], rest: Iterator[tuple[int, object]]) -> Iterator[tuple[int, object]]:
    yield first
    yield from rest


def _batched(items: Iterator[str], size: int) -> Iterator[list[str]]:
    while batch := list(islice(items, size)):
        yield batch
