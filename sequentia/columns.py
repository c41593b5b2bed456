"""Choose the columns of a table that a corpus consists of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from .config import MAX_CONDITIONS, Columns
from .guess import guess_options, is_number, names_columns
from .tables import Table, column_names
from .text import TextError

LINES: Final = "0"
"""The column that means: each line is an item."""

_MOST_LISTED: Final = 20


@dataclass(frozen=True)
class ColumnRequest:
    """What a user says of the columns of a table.

    Columns are given by name, or all of them by position from 1 if the first line of the file is no header.

    Attributes:
        item: the column with the items; "0" if each line of the file is an item; None for the only text column.
        conditions: the columns with conditions, each as ``COLUMN`` or as ``NAME=COLUMN``.
        weight: the column that says how often an item counts.
        split: the column that says which part of the split an item belongs to.
    """

    item: str | None = None
    conditions: tuple[str, ...] = ()
    weight: str | None = None
    split: str | None = None


def columns_of(
    column: str | None = None, conditions: Sequence[str] = (), weight: str | None = None, split: str | None = None
) -> ColumnRequest | None:
    """Return the request that options of the command line make; None if none is given."""
    if column is None and not conditions and weight is None and split is None:
        return None
    return ColumnRequest(column, tuple(conditions), weight, split)


class Chosen(NamedTuple):
    """The columns to read.

    Attributes:
        columns: their names, or positions.
        places: the 0-based places of the items, the conditions, the weight and the split, in this order.
    """

    columns: Columns
    places: list[int]


def by_position(columns: ColumnRequest | Columns | None) -> bool:
    """Return whether the columns are given by their positions."""
    if columns is None:
        return False
    if isinstance(columns, Columns):
        conditions = list(columns.conditions.values())
    else:
        conditions = [condition.rpartition("=")[2] for condition in columns.conditions]
    given = [each for each in (columns.item, *conditions, columns.weight, columns.split) if each is not None]
    return bool(given) and all(map(_is_position, given))


def choose(table: Table, columns: ColumnRequest | Columns | None) -> Chosen:
    """Return the columns of a table that were asked for. Without a column for the items, find the only text column.

    Raises:
        TextError: if a column does not exist or is there twice, if conditions share a name, or if several columns
            may hold the items.
    """
    request = columns or ColumnRequest()
    if isinstance(request, Columns):
        conditions = list(request.conditions.items())
    else:
        conditions = [_named(condition, table.names) for condition in column_names(request.conditions)]
    names = [name for name, _ in conditions]
    for name in names:
        if not name or names.count(name) > 1:
            reason = "two conditions have" if name else "a condition has no name, or"
            raise TextError(f"{reason} the name {name!r}; name a condition by --condition NAME=COLUMN")
        if "=" in name:
            raise TextError(
                f"--where could not ask for a condition of the name {name!r}; name it by --condition NAME=COLUMN"
            )
    if len(names) > MAX_CONDITIONS:
        raise TextError(f"{len(names)} conditions are more than {MAX_CONDITIONS}; leave some out")
    asked, weight, split = (
        None if column is None else column_names([column])[0]
        for column in (request.item, request.weight, request.split)
    )
    others = [column for column in (*(column for _, column in conditions), weight, split) if column is not None]
    if request.item is None and any(map(is_number, table.names)) and table.naming == "header" and not others:
        raise TextError(_without_header(table), 1)
    places = [_place(column, table) for column in others]
    item = _find_item(table, set(places)) if asked is None else _place(asked, table)
    for place in places:
        if [item, *places].count(place) > 1:
            raise TextError(f"the column {table.names[place]!r} is asked for twice: a column can be one thing only")
    if table.naming == "positions" and names_columns(table.look()):
        raise TextError("line 1 holds the names of the columns, it seems: give the columns by these names", 1)
    chosen = Columns(item=table.names[item], conditions=dict(conditions), weight=weight, split=split)
    return Chosen(chosen, [item, *places])


def _is_position(column: str) -> bool:
    return column.isascii() and column.isdecimal()


def _named(condition: str, names: Sequence[str]) -> tuple[str, str]:
    """Return the name of a condition and its column."""
    parts = condition.split("=")
    for cut in range(1, 1 if condition in names else len(parts)):
        name, column = "=".join(parts[:cut]), "=".join(parts[cut:])
        if column in names:
            return name, column
    name, _, column = condition.partition("=")
    return (name, column) if column and condition not in names else (condition, condition)


def _place(column: str, table: Table) -> int:
    count = table.names.count(column)
    if count == 1:
        return table.names.index(column)
    if count:
        raise TextError(f"{count} columns have the name {column!r}: rename them")
    if table.naming == "positions":
        raise TextError(f"there is no column {column}: the first row has {len(table.names)}, counted from 1")
    if any(map(is_number, table.names)) and table.naming == "header":
        raise TextError(f"there is no column {column!r}: {_without_header(table)}", 1)
    advice = "; give all columns by their names, or all by their positions" if _is_position(column) else ""
    raise TextError(f"there is no column {column!r}, only {_listed(table.names)}{advice}")


def _without_header(table: Table) -> str:
    """Return what to do about a table whose first line is a row."""
    rows = [tuple(table.names), *table.look()]
    options = guess_options([str(place) for place in range(1, len(table.names) + 1)], rows) or "--column 1"
    return (
        f"line 1 must hold the names of the columns, but has {_listed(table.names)}; write the names there, "
        f"or give the columns by their positions: {options}"
    )


def _find_item(table: Table, used: set[int]) -> int:
    """Return the place of the only text column that is not used otherwise."""
    free = [place for place in range(len(table.names)) if place not in used]
    rows = table.look() if len(free) > 1 else []
    if rows:
        free = [place for place in free if any(row[place] and not is_number(row[place]) for row in rows)] or free
    if len(free) != 1:
        names = [table.names[place] for place in free]
        found = f"{_listed(names)} may hold the items" if names else "no column is left for the items"
        options = guess_options(table.names, rows)
        example = f", for example {options}" if options else ""
        raise TextError(f"{found}: say which column does{example}; the columns are {_listed(table.names)}")
    return free[0]


def _listed(names: Iterable[str]) -> str:
    shown = [repr(name) for name in names]
    return ", ".join(shown[:_MOST_LISTED]) + (" …" if len(shown) > _MOST_LISTED else "")
