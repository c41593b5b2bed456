"""Read tables row by row: CSV, TSV, JSON Lines and Parquet, also packed by gzip.

docs/lists.md says which file is read how. Errors are :class:`.text.TextError`, which do not name the file.
"""

import csv
import gzip
import io
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Final, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from .text import TextError, counted

Numbered = tuple[int, str]
Cells = tuple[str, ...]
Naming = Literal["header", "keys", "positions"]
Kind = Literal["text", "csv", "tsv", "jsonl", "parquet"]

_Item = TypeVar("_Item")

_KINDS: Final[dict[str, Kind]] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
SEPARATORS: Final = {"\t": "tabs", ";": "semicolons", "|": "vertical bars", ",": "commas"}
"""What may separate values, with a word for each."""

USUAL: Final = 0.95
"""The share of lines that makes a property that of the file."""

_MOST_ROWS: Final = 1 << 12  # of a Parquet file, read at a time
_BUFFER: Final = 1 << 16
_LOOK_ROWS: Final = 1000
_LOOK_LENGTH: Final = 1 << 20


class Format(NamedTuple):
    """How a file is read: its kind, and whether it is packed by gzip."""

    kind: Kind
    packed: bool


def format_of(path: Path) -> Format:
    """Return the format that a file's name ends in. A name without a known ending is that of a text file."""
    packed = path.suffix.lower() == ".gz"
    return Format(_KINDS.get((path.with_suffix("") if packed else path).suffix.lower(), "text"), packed)


class _Watched(io.RawIOBase):
    """A file that hands on the bytes that are read from it."""

    def __init__(self, file: io.FileIO, on_bytes: Callable[[bytes], object]) -> None:
        self._file = file
        self._on_bytes = on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._file.readinto(buffer)
        self._on_bytes(bytes(buffer[:count]))
        return count


@contextmanager
def opened(path: Path, on_bytes: Callable[[bytes], object] = lambda _bytes: None) -> Iterator[BinaryIO]:
    """Open a file to read it from start to end, unpacked if its name ends in ``.gz``.

    Args:
        path: the file.
        on_bytes: called with the bytes of the file, as they are on the disk.

    Raises:
        OSError: if the file cannot be read.
        TextError: if it should be packed by gzip and is not, or is damaged.
    """
    with path.open("rb", buffering=0) as file:
        stream = io.BufferedReader(_Watched(file, on_bytes), _BUFFER)
        if not format_of(path).packed:
            yield stream
            return
        try:
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield io.BufferedReader(unpacked, _BUFFER)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise TextError(f"the file is no gzip file, or is damaged: {error}") from error


class Table(Protocol):
    """A table, which is read once.

    Attributes:
        names: the columns' names, or their positions.
        unit: what the numbers of the rows count: "line" or "row".
        naming: where the names come from: the first line, the keys of a format that has them, or positions.
    """

    names: list[str]
    unit: str
    naming: Naming

    def look(self) -> list[Cells]:
        """Return the first rows as text, at most 1,000, before any row is read. A missing value is empty."""
        ...

    def rows(self, places: list[int]) -> Iterator[tuple[int, Cells]]:
        """Yield the number of each row and its values in some columns as text. A missing value is empty."""
        ...


class DelimitedTable:
    """A table with a row in each line, and a separator between values.

    Args:
        lines: the numbers of the lines, and their text.
        separator: a character.
        named: whether the first line holds the names of the columns.

    Raises:
        TextError: if there is no line, or the first one is not valid.
    """

    unit = "line"

    def __init__(self, lines: Iterable[Numbered], separator: str, *, named: bool) -> None:
        self.naming: Naming = "header" if named else "positions"
        rows = ((number, row) for number, row in csv_rows(lines, separator) if row)
        first = next(rows, None)
        if first is None:
            raise TextError("the table is empty")
        self._rows: Iterator[tuple[int, list[str]]] = rows if named else chain([first], rows)
        if named:
            self.names = column_names(first[1])
        else:
            self.names = [str(place) for place in range(1, len(first[1]) + 1)]
        self._start = first[0]

    def look(self) -> list[Cells]:
        """Return the first rows; see :class:`Table`."""
        seen = _look(self._rows, lambda row: sum(map(len, row[1])))
        self._rows = chain(seen, self._rows)
        return [tuple(row) for _, row in seen if len(row) == len(self.names)]

    def rows(self, places: list[int]) -> Iterator[tuple[int, Cells]]:
        """Yield some columns; see :class:`Table`.

        Raises:
            TextError: if a row is not valid, or has more or fewer values than the first.
        """
        select, width = _selector(places), len(self.names)
        for number, row in self._rows:
            if len(row) != width:
                raise TextError(
                    f"line {number} has {counted(len(row), 'value')}, but line {self._start} has {width:,}: "
                    "check for missing quotation marks",
                    number,
                )
            yield number, select(row)


class JsonTable:
    """A table with a JSON object in each line, of which the first has all keys.

    Raises:
        TextError: if there is no line, or the first is no object.
    """

    unit = "line"
    naming: Naming = "keys"

    def __init__(self, rows: Iterator[tuple[int, object]]) -> None:
        first = next(rows, None)
        if first is None:
            raise TextError("the table is empty")
        self._keys = list(_object(*first))
        self.names = column_names(self._keys)
        self._rows = chain([first], rows)

    def look(self) -> list[Cells]:
        """Return the first rows; see :class:`Table`."""
        seen = _look(self._rows, lambda row: len(str(row[1])))
        self._rows = chain(seen, self._rows)
        return [tuple(_shown(_object(*row).get(key)) for key in self._keys) for row in seen]

    def rows(self, places: list[int]) -> Iterator[tuple[int, Cells]]:
        """Yield some columns; see :class:`Table`.

        Raises:
            TextError: if a line is no JSON object, or a value is neither a text nor a number.
        """
        keys = [(self._keys[place], self.names[place]) for place in places]
        for number, row in self._rows:
            get = _object(number, row).get
            yield number, tuple([_text(get(key), number, name, "line") for key, name in keys])


class ParquetTable:
    """A table in a Parquet file.

    Raises:
        OptionError: if the file is no Parquet file.
        MissingExtraError: if pyarrow is missing.
    """

    unit = "row"
    naming: Naming = "keys"

    def __init__(self, path: Path) -> None:
        from .arrow import names_of_columns

        self._path = path
        self._keys = names_of_columns(path)
        self.names = column_names(self._keys)

    def look(self) -> list[Cells]:
        """Return the first rows; see :class:`Table`."""
        from .arrow import read_rows

        unique = [key for key in self._keys if self._keys.count(key) == 1]
        places = [unique.index(key) if key in unique else None for key in self._keys]
        rows = islice(read_rows(self._path, unique, _LOOK_ROWS), _LOOK_ROWS)
        return [tuple("" if place is None else _shown(row[place]) for place in places) for row in rows]

    def rows(self, places: list[int]) -> Iterator[tuple[int, Cells]]:
        """Yield some columns; see :class:`Table`.

        Raises:
            OptionError: if the file is damaged.
            TextError: if a value is neither a text nor a number.
        """
        from .arrow import read_rows

        unique = list(dict.fromkeys(self._keys[place] for place in places))
        names = [(unique.index(self._keys[place]), self.names[place]) for place in places]
        for number, row in enumerate(read_rows(self._path, unique, _MOST_ROWS), 1):
            yield number, tuple([_text(row[place], number, name, "row") for place, name in names])


def column_names(names: Iterable[str]) -> list[str]:
    """Return the names of columns in NFC, without surrounding white space."""
    return [unicodedata.normalize("NFC", name).strip() for name in names]


def csv_rows(lines: Iterable[Numbered], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line where each row starts, and its cells; a blank line has none.

    Raises:
        TextError: if a row is not valid CSV.
    """
    reader = csv.reader((text for _, text in lines), delimiter=separator, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"line {number} is not valid CSV ({error}): check for a quotation mark that is not closed"
            raise TextError(reason, number) from error
        yield number, row


def json_rows(lines: Iterable[Numbered], expected: str) -> Iterator[tuple[int, str | dict[str, object]]]:
    """Yield the number and the value of each line that is not blank, a string or an object.

    Args:
        lines: the numbers of the lines, and their text.
        expected: what a line should be, for errors.

    Raises:
        TextError: if a line is neither.
    """
    decoder = msgspec.json.Decoder(str | dict[str, object])
    for number, text in lines:
        if text.strip():
            try:
                yield number, decoder.decode(text)
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                raise TextError(f"line {number} is {expected}: {error}", number) from error


def separator_of(lines: Sequence[str], kind: Kind) -> str:
    """Return what separates the values in the first lines of a text, CSV or TSV file.

    In a CSV file the first line decides, and a comma goes first.
    """
    if kind == "tsv":
        return "\t"
    counts = [Counter(re.sub(r'"[^"]*"', "", line)) for line in lines if line.strip()]
    if kind == "csv":
        first = counts[0] if counts else Counter[str]()
        return "," if first[","] else max(SEPARATORS, key=lambda each: (first[each], each == ","))
    usual = {each: Counter(count[each] for count in counts).most_common(1)[0] for each in SEPARATORS if counts}
    regular = {each: count for each, (count, lines_) in usual.items() if count and lines_ >= USUAL * len(counts)}
    first_line = counts[0] if counts else Counter[str]()
    return max(SEPARATORS, key=lambda each: (regular.get(each, 0), first_line[each], each == ","))


def look_at_lines(lines: Iterator[Numbered]) -> tuple[list[str], Iterator[Numbered]]:
    """Return the first lines, at most 1,000 that are not blank, and an iterator over all lines."""
    seen = _look(lines, lambda line: len(line[1]))
    return [text for _, text in seen], chain(seen, lines)


def table_of(lines: Iterator[Numbered], kind: Kind, *, named: bool) -> Table:
    """Return the table in the lines of a file that is not Parquet.

    Args:
        lines: the numbers of the lines, and their text.
        kind: of the file.
        named: whether the first line holds the names of the columns; that is always so in JSON Lines.

    Raises:
        TextError: if there is no line, or the first one is not valid.
    """
    if kind == "jsonl":
        return JsonTable(json_rows(lines, "no JSON object"))
    seen, lines = look_at_lines(lines)
    return DelimitedTable(lines, separator_of(seen, kind), named=named)


def _look(items: Iterator[_Item], length: Callable[[_Item], int]) -> list[_Item]:
    """Return the first items, at most 1,000 that are not blank and about a million characters."""
    seen: list[_Item] = []
    total = rows = 0
    while rows < _LOOK_ROWS and total < _LOOK_LENGTH and (item := next(items, None)) is not None:
        seen.append(item)
        total += length(item)
        rows += length(item) > 1
    return seen


def _selector(places: list[int]) -> Callable[[list[str]], Cells]:
    """Return a function that picks the values at some places of a row."""
    return itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)


def _object(number: int, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TextError(f"line {number} is a string, not an object, so it has no columns", number)
    return value


def _shown(value: object) -> str:
    """Return a value as text, empty if it has none."""
    return "" if isinstance(value, (list, dict, bytes)) else _text(value, 0, "", "")


def _text(value: object, number: int, column: str, unit: str) -> str:
    """Return a value as text, empty if it is missing; a whole number has no decimals."""
    if isinstance(value, str):
        return value
    if value is None or value != value:  # noqa: PLR0124 - which is how not a number differs
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, dict, bytes)):
        raise TextError(f"{unit} {number}, column {column!r}: the value is neither a text nor a number", number)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
