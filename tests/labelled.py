"""A small table: moons with invented conditions and weights."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from sequentia.columns import ColumnRequest
from sequentia.training.kinds import Network

from .conftest import MOONS

CONDITIONS = ("sex", "decade")


class Row(NamedTuple):
    """A moon, what is said of it, and how often it counts."""

    name: str
    sex: str
    decade: str
    times: int


def rows() -> list[Row]:
    """Return the moons with conditions, some of them twice. No moon of the 2010s is an f, and none of 1990 is an x."""
    names = MOONS.read_text(encoding="utf-8").split()
    found = []
    for number, name in enumerate([*names, *names[::3]]):
        sex, decade = "fmx"[number * number % 7 % 3], ("1990", "2000", "2010")[(number + number // 9) % 3]
        if (sex, decade) not in {("f", "2010"), ("x", "1990")}:
            found.append(Row(name, sex, decade, number % 5 + (number % 11 == 0) * 20))
    return found


def write(path: Path, table: Iterable[Row]) -> Path:
    """Write rows as a table of comma-separated values, and return its path."""
    lines = [",".join(map(str, row)) for row in (Row._fields, *table)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def columns(conditions: int = 2, *, weight: bool = False) -> ColumnRequest:
    """Return which columns to read: some of the conditions, and perhaps the weights."""
    return ColumnRequest("name", CONDITIONS[:conditions], "times" if weight else None)


def embed(network: Network) -> None:
    """Set the embeddings of conditions, which start at zero, to random numbers, so that they matter at once."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for table in [] if network.conditions is None else network.conditions.parameters():
            table.normal_(generator=generator)
