"""Names from a file, batch by batch: lines of text, CSV, JSON Lines or Parquet; what :mod:`sequentia.output` writes."""

import csv
import unicodedata
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from .errors import OptionError, VocabularyError
from .model import SequenceModel
from .output import NAME
from .text import Stripped, TextError, clean, read_lines

_AT_ONCE: Final = 1 << 15

Numbered = Iterator[tuple[int, str]]
"""Names, each with the number of its line or row, from 1."""

Scored = Iterator[tuple[list[str], NDArray[np.float64]]]
"""Some names at a time, and their natural-log probabilities, float64 [names]."""


def score_file(model: SequenceModel, source: Path) -> Scored:
    """Yield the names of a file in its order, some at a time, with their natural-log probabilities, float64 [names].

    Args:
        model: scores them.
        source: the file. Its ending says what it holds: ``.csv`` and ``.parquet`` a table with a column ``name``,
            ``.jsonl`` a string or an object with a key ``name`` in each line, anything else a name in each line.

    Raises:
        OptionError: naming the line that cannot be read, or if the file is of another kind.
        VocabularyError: naming the line whose name holds a symbol that the model does not know.
        OSError: if the file cannot be read.
        MissingExtraError: if it is Parquet, and pyarrow is missing.
    """
    suffix = source.suffix.lower()
    if suffix == ".json":
        raise OptionError(
            f"{source}: a JSON array cannot be read name by name; write it as .jsonl, one name a line",
            option="input",
            value=source,
        )
    if suffix == ".parquet":
        yield from _scored(model, _names_of_parquet(source), str(source), "row")
        return
    with source.open("rb") as file:
        numbered = _READERS.get(suffix, _names_of_lines)(file, str(source))
        yield from _scored(model, numbered, str(source), "line")


def score_lines(model: SequenceModel, file: BinaryIO, source: str) -> Scored:
    """Yield the names of a stream of text, a name in each line, as :func:`score_file` does.

    Args:
        model: scores them.
        file: UTF-8 text.
        source: what to call it in errors.
    """
    return _scored(model, _names_of_lines(file, source), source, "line")


def _scored(model: SequenceModel, numbered: Numbered, source: str, place: str) -> Scored:
    try:
        while batch := list(islice(numbered, _AT_ONCE)):
            names = [name for _, name in batch]
            try:
                scores = model.score(names)
            except VocabularyError as error:
                number = next(n for n, name in batch if unicodedata.normalize("NFC", name) == error.text)
                raise VocabularyError(
                    f"{source}, {place} {number}: {error}",
                    symbol=error.symbol,
                    position=error.position,
                    text=error.text,
                ) from error
            yield names, scores
    except TextError as error:
        raise OptionError(f"{source}: {error}", option="input", value=source) from error


def _names_of_lines(file: BinaryIO, source: str) -> Numbered:
    stripped = Stripped()
    for number, text in read_lines(file):
        item = clean(text, number, stripped)
        if item:
            yield number, item
    stripped.warn(source)


def _names_of_csv(file: BinaryIO, source: str) -> Numbered:
    stripped = Stripped()
    rows = _csv_rows(file)
    header = [cell.strip() for cell in next(rows, (1, []))[1]]
    if NAME not in header:
        found = f"only {', '.join(map(repr, header))}" if header else "nothing"
        raise TextError(f"line 1 has no column {NAME!r}, {found}: it needs the names of the columns", 1)
    column = header.index(NAME)
    for number, row in rows:
        if row:
            if len(row) <= column:
                raise TextError(f"line {number} has no {NAME}", number)
            item = clean(row[column], number, stripped)
            if item:
                yield number, item
    stripped.warn(source)


def _csv_rows(file: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line where each row starts, and its cells."""
    reader = csv.reader((text for _, text in read_lines(file)), strict=True)
    while True:
        number = reader.line_num + 1
        try:
            yield number, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"line {number} is no CSV ({error}): is a quotation mark in it not closed?"
            raise TextError(reason, number) from error


class _Named(msgspec.Struct):
    name: str


def _names_of_json_lines(file: BinaryIO, _source: str) -> Numbered:
    decoder = msgspec.json.Decoder(str | _Named)
    for number, text in read_lines(file):
        if text.strip():
            try:
                value = decoder.decode(text)
            except (msgspec.MsgspecError, UnicodeError) as error:
                reason = f"line {number} is neither a string nor an object with a key {NAME!r}: {error}"
                raise TextError(reason, number) from error
            yield number, value if isinstance(value, str) else value.name


def _names_of_parquet(source: Path) -> Numbered:
    from .arrow import count_rows, read_column

    number = 0
    for names in read_column(source, NAME, 0, count_rows(source, NAME), _AT_ONCE):
        for name in names:
            number += 1
            if not isinstance(name, str):
                raise TextError(f"row {number} of the column {NAME!r} is {name!r}, no string", number)
            yield number, name


_READERS: Final[dict[str, Callable[[BinaryIO, str], Numbered]]] = {
    ".csv": _names_of_csv,
    ".jsonl": _names_of_json_lines,
    ".ndjson": _names_of_json_lines,
}
"""By the ending of a file's name."""
