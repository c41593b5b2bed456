"""Reading and scoring names, in batches, from the formats that :mod:`sequentia.output` writes, except JSON."""

import unicodedata
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from .conditions import Where
from .errors import OptionError, VocabularyError
from .model import SequenceModel
from .output import NAME
from .tables import Kind, Numbered, csv_rows, format_of, json_rows, look_at_lines, opened, separator_of
from .text import RemovedCharacters, TextError, clean, read_lines

_BATCH_SIZE: Final = 1 << 15  # names

NumberedNames = Iterator[tuple[int, str]]
"""The 1-based line or row number of each name, and the name."""

ScoredNames = Iterator[tuple[list[str], NDArray[np.float64]]]
"""Batches of names, and their natural-log probabilities, float64 [names]."""


def score_file(model: SequenceModel, source: Path, where: Where = None) -> ScoredNames:
    """Yield the names of a file in order, in batches, with their natural-log probabilities, float64 [names].

    Args:
        model: computes the probabilities.
        source: the file. Its suffix gives the format: ``.csv``, ``.tsv`` and ``.parquet`` are tables with a column
            ``name``; each line of ``.jsonl`` and ``.ndjson`` is a string or an object with a key ``name``; each line of
            any other file is a name. A text file may be packed by gzip, with ``.gz`` behind its suffix.
        where: what is said of the conditions of all names.

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
    kind, packed = format_of(source)
    if kind == "parquet" and not packed:
        yield from _scored(model, _names_of_parquet(source), str(source), "row", where)
        return
    yield from _scored(model, _names_of_text(source, kind), str(source), "line", where)


def score_lines(model: SequenceModel, file: BinaryIO, source: str, where: Where = None) -> ScoredNames:
    """Yield the names of a text stream, one name per line, as :func:`score_file` does.

    Args:
        model: computes the probabilities.
        file: UTF-8 text.
        source: the stream's name in error messages.
        where: what is said of the conditions of all names.
    """
    return _scored(model, _names_of_lines(read_lines(file), source), source, "line", where)


def _scored(model: SequenceModel, numbered: NumberedNames, source: str, unit: str, where: Where) -> ScoredNames:
    try:
        while batch := list(islice(numbered, _BATCH_SIZE)):
            names = [name for _, name in batch]
            try:
                scores = model.score(names, where=where)
            except VocabularyError as error:
                number = next(n for n, name in batch if unicodedata.normalize("NFC", name) == error.text)
                other = model.vocabulary.other_case(error.text)
                hint = "" if other is None else "; write all names in the case that the model knows"
                raise VocabularyError(
                    f"{source}, {unit} {number}: {error}{hint}",
                    symbol=error.symbol,
                    position=error.position,
                    text=error.text,
                ) from error
            yield names, scores
    except TextError as error:
        raise OptionError(f"{source}: {error}", option="input", value=source) from error


def _names_of_text(source: Path, kind: Kind) -> NumberedNames:
    with opened(source) as file:
        lines = read_lines(file)
        if kind == "jsonl":
            yield from _names_of_json_lines(lines)
        elif kind == "text":
            yield from _names_of_lines(lines, source)
        else:
            seen, lines = look_at_lines(lines)
            yield from _names_of_table(csv_rows(lines, separator_of(seen, kind)), source)


def _names_of_lines(lines: Iterator[Numbered], source: object) -> NumberedNames:
    removed = RemovedCharacters()
    for number, text in lines:
        item = clean(text, number, removed)
        if item:
            yield number, item
    removed.warn(source)


def _names_of_table(rows: Iterator[tuple[int, list[str]]], source: Path) -> NumberedNames:
    removed = RemovedCharacters()
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


def _names_of_json_lines(lines: Iterator[Numbered]) -> NumberedNames:
    expected = f"neither a string nor an object with a key {NAME!r}"
    for number, value in json_rows(lines, expected):
        name = value if isinstance(value, str) else value.get(NAME)
        if not isinstance(name, str):
            raise TextError(f"line {number} is {expected}", number)
        yield number, name


def _names_of_parquet(source: Path) -> NumberedNames:
    from .arrow import count_rows, read_column

    number = 0
    for names in read_column(source, NAME, 0, count_rows(source, NAME), _BATCH_SIZE):
        for name in names:
            number += 1
            if not isinstance(name, str):
                raise TextError(f"row {number} of the column {NAME!r} is {name!r}, not a string", number)
            yield number, name
