"""What a table says of its items beside their text: conditions, weights, and parts of the split, a few bytes a row."""

import re
from array import array
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sequentia.config import MAX_VALUE_LENGTH, MAX_VALUES, Columns
from sequentia.guess import PARTS as PART_OF
from sequentia.guess import is_number
from sequentia.text import RemovedCharacters, TextError, describe, first_forbidden, normalise

from .parts import PARTS

_CHUNK: Final = 1 << 14
_MOST_CACHED: Final = 4 * MAX_VALUES
_MOST_WHOLE: Final = 2 ** (8 * array("I").itemsize) - 1
_WHOLE: Final = re.compile(r"[+-]?\d+", re.ASCII)


def clean_cell(text: str, where: str, number: int, longest: int, removed: RemovedCharacters) -> str:
    """Return the text of a value in NFC, without invisible characters or surrounding white space.

    Args:
        text: the value.
        where: its row and column, for errors.
        number: of the row.
        longest: most characters in the result.
        removed: counts the removed characters.

    Raises:
        TextError: if nothing is left, or if the value is too long or has a character that no item may hold.
    """
    value = normalise(text, number, removed)
    if not value:
        raise TextError(
            f"{where}: the value is missing; write it, or a word of your own such as unknown, or delete the row", number
        )
    if len(value) > longest:
        raise TextError(f"{where}: the value has more than {longest:,} characters", number)
    character = None if value.isascii() and value.isprintable() else first_forbidden(value)
    if character is not None:
        raise TextError(f"{where}: the value contains {describe(character)}", number)
    return value


def widened(numbers: "array[int]", largest: int) -> "array[int]":
    """Return an array in the narrowest type that holds the largest number."""
    typecode = np.min_scalar_type(largest).char
    if np.dtype(typecode).itemsize <= numbers.itemsize:
        return numbers
    wider = array(typecode)
    wider.frombytes(np.frombuffer(numbers, dtype=numbers.typecode).astype(typecode).tobytes())
    return wider


class Labels:
    """The conditions, weights and parts of the rows read so far.

    Args:
        columns: what is read.
        unit: what the numbers of the rows count, for errors: "line" or "row".
        removed: counts the characters removed from values.
    """

    def __init__(self, columns: Columns, unit: str, removed: RemovedCharacters) -> None:
        self._unit = unit
        self._conditions = [_Condition(name, column, unit, removed) for name, column in columns.conditions.items()]
        self._weight, self._split = columns.weight, columns.split
        self._weights: array[int] | array[float] = array("I")  # half the memory, while all are whole numbers
        self._parts = array("B")

    def add(self, numbers: list[int], columns: Sequence[Sequence[str]]) -> None:
        """Add rows.

        Args:
            numbers: of the rows, for errors.
            columns: the values of each column: the conditions, then the weight, then the split, as far as there are.

        Raises:
            TextError: if a value is missing or wrong, or a condition has too many.
        """
        rest = iter(columns)
        for condition in self._conditions:
            condition.add(numbers, next(rest))
        if self._weight is not None:
            weights = self._numbers(numbers, next(rest), self._weight)
            if self._weights.typecode == "I" and ((weights != np.floor(weights)) | (weights > _MOST_WHOLE)).any():
                self._weights = array("d", self._weights)
            self._weights.frombytes(weights.astype(self._weights.typecode).tobytes())
        if self._split is not None:
            self._parts.extend(self._parts_of(numbers, next(rest), self._split))

    def check(self) -> None:
        """Check the rows once all are read.

        Raises:
            TextError: if all weights are 0.
        """
        if self._weights and not any(self._weights):
            raise TextError(f"all weights in the column {self._weight!r} are 0")

    def finish(
        self,
    ) -> tuple[
        dict[str, list[str]], NDArray[np.unsignedinteger] | None, NDArray[np.float64] | None, NDArray[np.uint8] | None
    ]:
        """Return the values, conditions, weights and parts, as :class:`.corpus.Corpus` holds them."""
        values = {condition.name: condition.sorted_values() for condition in self._conditions}
        ids = None
        if self._conditions:
            dtype = np.min_scalar_type(max(map(len, values.values())))
            ids = np.empty((len(self._conditions[0].ids), len(self._conditions)), dtype=dtype)
            for place, condition in enumerate(self._conditions):
                condition.write(ids[:, place])
        weights = None
        if self._weight is not None:
            weights = np.frombuffer(self._weights, dtype=self._weights.typecode).astype(np.float64, copy=False)
        return values, ids, weights, None if self._split is None else np.frombuffer(self._parts, dtype=np.uint8)

    def _where(self, number: int, column: str) -> str:
        return f"{self._unit} {number}, column {column!r}"

    def _numbers(self, numbers: list[int], cells: Sequence[str], column: str) -> NDArray[np.float64]:
        """Return the weights in some rows, float64 [rows]."""
        try:
            weights = np.array(list(map(float, cells)))
        except ValueError:
            weights = np.full(1, np.nan)
        if (np.isfinite(weights) & (weights >= 0)).all() and "_" not in "".join(cells):
            return weights
        for number, cell in zip(numbers, cells, strict=True):
            text = cell.strip()
            if not text:
                reason = "the weight is missing"
            elif not is_number(text):
                reason = f"{text!r} is not a number"
            elif float(text) < 0:
                reason = f"the weight {text} is negative"
            elif not np.isfinite(float(text)):
                reason = f"the weight {text} is too large"
            else:
                continue
            raise TextError(
                f"{self._where(number, column)}: {reason}; a weight is a number from 0 on, such as 1262 or 0.5", number
            )
        return weights

    def _parts_of(self, numbers: list[int], cells: Sequence[str], column: str) -> Iterator[int]:
        """Yield the indices of the parts in some rows."""
        for number, cell in zip(numbers, cells, strict=True):
            part = PART_OF.get(cell.strip().lower())
            if part is None:
                found = (
                    f"{cell.strip()!r} is no part of a split" if cell.strip() else "the part of the split is missing"
                )
                raise TextError(
                    f"{self._where(number, column)}: {found}; a part is one of {', '.join(PART_OF)}", number
                )
            yield PARTS.index(part)


class _Condition:
    """A column of values, each read as a number that says when it first appeared, from 1."""

    def __init__(self, name: str, column: str, unit: str, removed: RemovedCharacters) -> None:
        self.name = name
        self.ids = array("B")
        self._column = column
        self._unit = unit
        self._removed = removed
        self._values: dict[str, int] = {}
        self._cache: dict[str, int] = {}  # also of values with spaces around them

    def add(self, numbers: list[int], cells: Sequence[str]) -> None:
        ids = list(map(self._cache.get, cells))
        known = [
            self._id(number, cell) if found is None else found
            for number, cell, found in zip(numbers, cells, ids, strict=True)
        ]
        self.ids = widened(self.ids, len(self._values))
        self.ids.extend(known)

    def sorted_values(self) -> list[str]:
        if all(map(_WHOLE.fullmatch, self._values)):
            return sorted(self._values, key=lambda value: (int(value), value))
        return sorted(self._values)

    def write(self, target: NDArray[np.unsignedinteger]) -> None:
        """Write the ids in the order of the sorted values, [names]."""
        order = np.zeros(len(self._values) + 1, dtype=target.dtype)
        for place, value in enumerate(self.sorted_values(), 1):
            order[self._values[value]] = place
        ids = np.frombuffer(self.ids, dtype=self.ids.typecode)
        for first in range(0, len(ids), _CHUNK):
            target[first : first + _CHUNK] = order[ids[first : first + _CHUNK]]

    def _id(self, number: int, cell: str) -> int:
        where = f"{self._unit} {number}, column {self._column!r}"
        value = clean_cell(cell, where, number, MAX_VALUE_LENGTH, self._removed)
        if value not in self._values and len(self._values) == MAX_VALUES:
            raise TextError(
                f"{where}: the condition {self.name!r} has more than {MAX_VALUES:,} values: is it a label? "
                "Group the values, or leave the condition out",
                number,
            )
        found = self._values.setdefault(value, len(self._values) + 1)
        if len(self._cache) >= _MOST_CACHED:
            self._cache.clear()
        self._cache[cell] = found
        return found
