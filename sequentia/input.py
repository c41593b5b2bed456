"""Reading and scoring names, in batches, from the formats that :mod:`sequentia.output` writes, except JSON."""

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
from .text import RemovedCharacters, TextError, clean, read_lines

_BATCH_SIZE: Final = 1 << 15  # names

NumberedNames = Iterator[tuple[int, str]]
"""The 1-based line or row number of each name, and the name."""

ScoredNames = Iterator[tuple[list[str], NDArray[np.float64]]]
"""Batches of names, and their natural-log probabilities, float64 [names]."""


def score_file(model: SequenceModel, source: Path) -> ScoredNames:
    """Yield the names of a file in order, in batches, with their natural-log probabilities, float64 [names].

    Args:
        model: computes the probabilities.
        source: the file. Its suffix gives the format: ``.csv`` and ``.parquet`` are tables with a column ``name``;
            each line of ``.jsonl`` and ``.ndjson`` is a string or an object with a key ``name``; each line of any
            other file is a name.

    Raises:
        OptionError: if a line cannot be read, or the format is not supported.
        VocabularyError: if a name contains a symbol that the model does not know.
        OSError: if the file cannot be read.
        MissingExtraError: if the file is Parquet and pyarrow is missing.
    """
    suffix = source.suffix.lower()
    if suffix == ".json":
        raise OptionError(
            f"{source}: a JSON array cannot be read name by name; write it as .jsonl, one name per line",
            option="input",
            value=source,
        )
    if suffix == ".parquet":
        yield from _scored(model, _names_of_parquet(source), str(source), "row")
        return
    with source.open("rb") as file:
        numbered = _READERS.get(suffix, _names_of_lines)(file, str(source))
        yield from _scored(model, numbered, str(source), "line")


def score_lines(model: SequenceModel, file: BinaryIO, source: str) -> ScoredNames:
    """Yield the names of a text stream, one name per line, as :func:`score_file` does.

    Args:
        model: computes the probabilities.
        file: UTF-8 text.
        source: the stream's name in error messages.
    """
    return _scored(model, _names_of_lines(file, source), source, "line")


def _scored(model: SequenceModel, numbered: NumberedNames, source: str, unit: str) -> ScoredNames:
    try:
        while batch := list(islice(numbered, _BATCH_SIZE)):
            names = [name for _, name in batch]
            try:
                scores = model.score(names)
            except VocabularyError as error:
                number = next(n for n, name in batch if unicodedata.normalize("NFC", name) == error.text)
                raise VocabularyError(
                    f"{source}, {unit} {number}: {error}",
                    symbol=error.symbol,
                    position=error.position,
                    text=error.text,
                ) from error
            yield names, scores
    except TextError as error:
        raise OptionError(f"{source}: {error}", option="input", value=source) from error


def _names_of_lines(file: BinaryIO, source: str) -> NumberedNames:
    removed = RemovedCharacters()
    for number, text in read_lines(file):
        item = clean(text, number, removed)
        if item:
            yield number, item
    removed.warn(source)


def _names_of_csv(file: BinaryIO, source: str) -> NumberedNames:
    removed = RemovedCharacters()
    rows = _csv_rows(file)
    header = [cell.strip() for cell in next(rows, (1, []))[1]]
    if NAME not in header:
        found = f", only {', '.join(map(repr, header))}" if header else " and is empty"
        raise TextError(f"line 1 has no column {NAME!r}{found}: write the column names in line 1", 1)
    column = header.index(NAME)
    for number, row in rows:
        if row:
            if len(row) <= column:
                raise TextError(f"line {number} has no {NAME}", number)
            item = clean(row[column], number, removed)
            if item:
                yield number, item
    removed.warn(source)


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
            reason = f"line {number} is not valid CSV ({error}): check for a quotation mark that is not closed"
            raise TextError(reason, number) from error


class _Named(msgspec.Struct):
    name: str


def _names_of_json_lines(file: BinaryIO, _source: str) -> NumberedNames:
    decoder = msgspec.json.Decoder(str | _Named)
    for number, text in read_lines(file):
        if text.strip():
            try:
                value = decoder.decode(text)
            except (msgspec.MsgspecError, UnicodeError) as error:
                reason = f"line {number} is neither a string nor an object with a key {NAME!r}: {error}"
                raise TextError(reason, number) from error
            yield number, value if isinstance(value, str) else value.name


def _names_of_parquet(source: Path) -> NumberedNames:
    from .arrow import count_rows, read_column

    number = 0
    for names in read_column(source, NAME, 0, count_rows(source, NAME), _BATCH_SIZE):
        for name in names:
            number += 1
            if not isinstance(name, str):
                raise TextError(f"row {number} of the column {NAME!r} is {name!r}, not a string", number)
            yield number, name


_READERS: Final[dict[str, Callable[[BinaryIO, str], NumberedNames]]] = {
    ".csv": _names_of_csv,
    ".jsonl": _names_of_json_lines,
    ".ndjson": _names_of_json_lines,
}
"""Readers by file suffix."""
