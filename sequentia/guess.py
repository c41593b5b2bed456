"""Guess what the columns of a table hold, for errors that say which options read it."""

import re
import shlex
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from .config import MAX_CONDITIONS
from .tables import SEPARATORS, USUAL, Cells, csv_rows, separator_of
from .text import TextError

PARTS: Final = {"train": "train", "dev": "dev", "val": "dev", "validation": "dev", "test": "test"}
"""The part of the split that a value means, by the value in lower case."""

_NUMBER: Final = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_WORD: Final = re.compile(r"[^\W\d][\w .()/#-]{0,39}")
_SHORT_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)
_YEAR: Final = re.compile(r"(1[5-9]|20)\d\d", re.ASCII)
_HEADINGS: Final = """
    age birth births category city class count country decade first first_name firstname frequency gender id
    item label language last last_name lastname name names nationality number origin place population rank
    region sex split state surname text title type value weight word words year
"""
_COMMON_HEADINGS: Final = frozenset(_HEADINGS.split())
_FEWEST_LINES: Final = 3
_FEW_VALUES: Final = 20


class TableLike(NamedTuple):
    """What is seen in the lines of a text file that look like a table.

    Attributes:
        columns: how many there are.
        separator: what separates them, a word in the plural.
        shown: the cells of the first line.
        options: what reads the file as a table.
    """

    columns: int
    separator: str
    shown: str
    options: str


def is_number(text: str) -> bool:
    """Return whether a text is a number, such as 18688, -1.5 or 1e6."""
    return _NUMBER.fullmatch(text) is not None


def find_table(lines: Sequence[str]) -> TableLike | None:
    """Return what makes the first lines of a text file look like a table; None if they do not.

    In 95 % of the lines, a character must separate as many values, and there must be a column of numbers behind the
    first, a header, or a tab, which no item may hold.
    """
    rows: list[list[str]] = []
    separator = separator_of(lines, "text")
    try:
        rows.extend(row for _, row in csv_rows(enumerate(lines, 1), separator) if row)
    except TextError:
        if len(rows) < USUAL * len(lines):  # else the last row goes on behind these lines
            return None
    width = len(rows[0]) if rows else 0
    regular = [tuple(cell.strip() for cell in row) for row in rows if len(row) == width]
    if width < 2 or len(regular) < max(_FEWEST_LINES, USUAL * len(rows)):
        return None
    columns = list(zip(*regular[1:], strict=True))
    numeric = [sum(map(is_number, column)) >= USUAL * len(column) for column in columns]
    named = _is_header(regular[0], columns, numeric, spaced=_is_spaced(lines, separator))
    if all(numeric) or not (separator == "\t" or any(numeric[1:]) or named):
        return None
    names = regular[0] if named else [str(place) for place in range(1, width + 1)]
    options = guess_options(names, regular[named:])
    if options is None:
        return None
    return TableLike(width, SEPARATORS[separator], ", ".join(regular[0]), options)


def guess_options(names: Sequence[str], rows: Sequence[Cells]) -> str | None:
    """Return the options that read a table, such as ``--column name --weight births``; None if it holds no text.

    Args:
        names: of the columns, or their positions.
        rows: the first rows.
    """
    usable = [place for place, name in enumerate(names) if name and names.count(name) == 1]
    columns = {place: [row[place] for row in rows] for place in usable}
    values = {place: set(column) for place, column in columns.items()}
    columns = {place: column for place, column in columns.items() if "" not in values[place]}
    split = next((place for place in columns if all(cell.lower() in PARTS for cell in values[place])), None)
    columns.pop(split, None) if split is not None else None
    numeric = [place for place, column in columns.items() if all(map(is_number, column))]
    texts = [place for place in columns if place not in numeric]
    if not texts:
        return None
    item = max(texts, key=lambda place: len(values[place]))
    weights = [place for place in numeric if _may_be_weight(columns[place])]
    weight = max(weights, key=lambda place: len(values[place]), default=None)
    few = max(_FEW_VALUES, len(rows) // 10)
    conditions = [
        place
        for place, column in columns.items()
        if place not in {item, weight} and len(values[place]) <= few and not _is_index(column)
    ]
    options = ["--column", names[item]]
    for place in conditions[:MAX_CONDITIONS]:
        options += ["--condition", names[place]]
    options += [] if weight is None else ["--weight", names[weight]]
    options += [] if split is None else ["--split-column", names[split]]
    return shlex.join(options)


def names_columns(rows: Sequence[Cells]) -> bool:
    """Return whether the first of some rows surely names the columns: by usual headings, or words above numbers."""
    first, *others = rows or [()]
    if not others or len(set(first)) < len(first) or not all(map(_WORD.fullmatch, first)):
        return False
    numeric = any(all(map(is_number, column)) for column in zip(*others, strict=False))
    return numeric or _COMMON_HEADINGS.issuperset(cell.lower() for cell in first)


def is_heading(text: str) -> bool:
    """Return whether a text is a usual name of a column."""
    return text.lower() in _COMMON_HEADINGS


def _is_header(first: Cells, columns: Sequence[Cells], numeric: Sequence[bool], *, spaced: bool) -> bool:
    """Return whether a line names the columns of the lines below it."""
    if len(set(first)) < len(first) or not all(map(_WORD.fullmatch, first)):
        return False
    if any(numeric):
        return True
    if any(cell in column for cell, column in zip(first, columns, strict=True)):
        return False
    if not _COMMON_HEADINGS.isdisjoint(cell.lower() for cell in first):
        return True
    few = [len(set(column)) <= min(_FEW_VALUES, len(column) // 10) for column in columns]
    return not spaced and any(few)


def _is_spaced(lines: Sequence[str], separator: str) -> bool:
    """Return whether a space follows the separator, as in prose."""
    return sum(f"{separator} " in line for line in lines) > len(lines) / 2


def _may_be_weight(column: Sequence[str]) -> bool:
    """Return whether numbers may say how often items count: not years, nor the numbers of the rows."""
    if all(map(_YEAR.fullmatch, column)) or _is_index(column):
        return False
    return all(float(cell) >= 0 for cell in column) and any(map(float, column))


def _is_index(column: Sequence[str]) -> bool:
    """Return whether each value is one more than the one before."""
    whole = len(column) > 1 and all(map(_SHORT_NUMBER.fullmatch, column))
    return whole and all(int(one) + 1 == int(other) for one, other in pairwise(column))
