"""Parts of a split, against the text in which each name stands as often as it counts."""

import math
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sequentia.columns import ColumnRequest
from sequentia.training.corpus import Corpus, read_corpus
from sequentia.training.kinds import hidden
from sequentia.training.parts import Part, split, texts

SCALE = 4


class Name(NamedTuple):
    """A name: its symbols, its conditions, and how often it counts."""

    symbols: list[int]
    conditions: list[int]
    times: int


@st.composite
def _names(draw: st.DrawFn) -> list[Name]:
    columns = draw(st.integers(0, 3))
    name = st.builds(
        Name,
        st.lists(st.integers(1, 300), max_size=6),
        st.lists(st.integers(0, 300), min_size=columns, max_size=columns),
        st.integers(0, 5),
    )
    return draw(st.lists(name, min_size=1, max_size=12))


def part_of(names: list[Name], *, weighted: bool = True, scale: int = 1) -> Part:
    tokens = np.array([symbol for name in names for symbol in [*name.symbols, 0]], dtype=np.uint16)
    columns = len(names[0].conditions) if names else 0
    conditions = np.array([name.conditions for name in names], dtype=np.uint16).reshape(len(names), columns)
    counts = np.array([name.times for name in names], dtype=np.uint8)
    return Part(tokens, conditions, counts if weighted else None, scale)


@given(names=_names(), dtype=st.sampled_from([np.uint8, np.uint32, np.uint64]))
def test_places_are_those_of_the_text_with_every_name_as_often_as_it_counts(names: list[Name], dtype: Any) -> None:
    part = part_of(names)
    assert part.counts is not None
    part = Part(part.tokens, part.conditions, part.counts.astype(dtype))
    expected: list[int] = []
    start = 0
    for name in names:
        end = start + len(name.symbols) + 1
        expected += [*range(start, end)] * name.times
        start = end
    assert part.size == len(expected)
    positions = part.positions(np.arange(part.size))
    assert positions.dtype == np.int64
    np.testing.assert_array_equal(positions, expected)
    assert part_of(names, weighted=False).size == start
    np.testing.assert_array_equal(part_of(names, weighted=False).positions(np.arange(start)), np.arange(start))


@given(names=_names())
def test_names_are_drawn_as_often_as_they_count(names: list[Name]) -> None:
    part = part_of(names)
    text = part_of([name for name in names for _ in range(name.times)], weighted=False)
    places = np.arange(part.size)
    repeated = np.repeat(np.arange(len(names)), [name.times for name in names])
    np.testing.assert_array_equal(part.names_of(places), repeated[text.names_of(places)])
    _, counts = np.unique(text.names_of(places), return_counts=True)
    assert len(counts) == len(repeated)
    assert counts.max(initial=1) - counts.min(initial=part.size) <= 1, "long and short ones alike"


@given(names=_names())
def test_what_stands_at_a_position(names: list[Name]) -> None:
    part = part_of(names, scale=SCALE)
    positions = np.arange(part.windows)
    lengths = [len(name.symbols) + 1 for name in names]
    np.testing.assert_array_equal(part.lengths, lengths)
    np.testing.assert_array_equal(part.ends, np.cumsum(lengths) - 1)
    np.testing.assert_array_equal(part.names_at(positions), np.repeat(np.arange(len(names)), lengths))
    conditions = part.conditions_at(positions)
    assert conditions.dtype == np.int64
    np.testing.assert_array_equal(conditions, np.repeat(part.conditions, lengths, axis=0))
    weights = [name.times / SCALE for name in names]
    np.testing.assert_array_equal(part.weights_at(positions), np.repeat(weights, lengths))
    np.testing.assert_array_equal(part_of(names, weighted=False).weights_at(positions), 1)


@given(names=_names(), count=st.integers(0, 12), weighted=st.booleans())
def test_the_first_names_of_a_part(names: list[Name], count: int, *, weighted: bool) -> None:
    part = part_of(names, weighted=weighted, scale=SCALE)
    first = min(count, len(names))
    _assert_are(part.first(first), names[:first], weighted=weighted)
    nothing = part.without_conditions()
    assert nothing.conditions.shape == part.conditions.shape
    assert not nothing.conditions.any()
    _assert_are(nothing, [name._replace(conditions=[0] * len(name.conditions)) for name in names], weighted=weighted)


@given(names=_names(), count=st.integers(1, 15), weighted=st.booleans())
def test_shards_together_are_the_part(names: list[Name], count: int, *, weighted: bool) -> None:
    part = part_of(names, weighted=weighted, scale=SCALE)
    shards = part.shards(count)
    assert len(shards) == count
    begin = 0
    for shard in shards:
        _assert_are(shard, names[begin : begin + shard.names], weighted=weighted)
        begin += shard.names
    assert begin == len(names)
    assert sum(shard.size for shard in shards) == part.size
    found = [shard.tokens[shard.positions(np.arange(shard.size))] for shard in shards]
    np.testing.assert_array_equal(np.concatenate(found), part.tokens[part.positions(np.arange(part.size))])


def _assert_are(part: Part, names: list[Name], *, weighted: bool) -> None:
    """Check that a part, in steps of 1 / SCALE, consists of some names."""
    expected = part_of(names, weighted=weighted, scale=SCALE)
    assert (part.names, part.size, part.scale) == (len(names), expected.size, SCALE)
    np.testing.assert_array_equal(part.tokens, expected.tokens)
    assert part.conditions.tolist() == [name.conditions for name in names]
    if weighted:
        np.testing.assert_array_equal(part.weights_at(np.flatnonzero(part.tokens == 0)) * SCALE, expected.counts)
    else:
        assert part.counts is None


# Hidden conditions


@pytest.mark.parametrize(("columns", "share"), [(1, 0.2), (2, 0.5), (4, 0.3)])
def test_conditions_are_hidden_in_a_share_of_the_examples(columns: int, share: float) -> None:
    """As many in as many examples as in others, and each as often as any other; the odds of a false alarm are 1e-5."""
    rows = 200_000
    mask = hidden(np.random.default_rng(1).random, rows, columns, share)
    assert (mask.dtype, mask.shape) == (np.dtype(bool), (rows, columns))
    shown = int((~mask.any(axis=1)).sum())
    assert _deviations(shown, rows, 1 - share) < 5
    for count in range(1, columns + 1):
        for chosen in combinations(range(columns), count):
            row = np.isin(np.arange(columns), chosen)
            found = int((mask == row).all(axis=1).sum())
            assert _deviations(found, rows, share / columns / math.comb(columns, count)) < 5, chosen


def _deviations(found: int, rows: int, share: float) -> float:
    return abs(found - share * rows) / math.sqrt(rows * share * (1 - share))


def test_without_conditions_no_random_number_is_drawn() -> None:
    def draw(_: tuple[int, int]) -> NDArray[np.float64]:
        raise AssertionError

    assert hidden(draw, 5, 0, 0.2).shape == (5, 0)


def test_a_share_of_none_hides_nothing() -> None:
    assert not hidden(np.random.default_rng(1).random, 1000, 3, 0.0).any()


# Splits of a table


def table_of(folder: Path, rows: list[tuple[str, str, float, str]]) -> Corpus:
    """Return a table of names, sexes, weights and parts of the split."""
    path = folder / "names.csv"
    lines = [",".join(map(str, row)) for row in [("name", "sex", "weight", "part"), *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_corpus(path, ColumnRequest("name", ("sex",), "weight", "part"))


def rows_of(part: Part, corpus: Corpus) -> list[tuple[str, str, float]]:
    """Return the names of a part, with the condition and the weight of each."""
    weights = part.weights_at(part.ends.astype(np.int64)).tolist()
    sexes = [corpus.values["sex"][value - 1] for value in part.conditions[:, 0].tolist()]
    return list(zip(texts(part.tokens, corpus.vocabulary), sexes, weights, strict=True))


_rows = st.lists(
    st.tuples(
        st.text("abc", min_size=1, max_size=3),
        st.sampled_from("fm"),
        st.integers(0, 9).map(float) | st.sampled_from([0.125, 2.5]),
        st.sampled_from(["train", "dev", "test"]),
    ),
    min_size=12,
    max_size=60,
)


@given(rows=_rows)
def test_a_split_by_a_column(rows: list[tuple[str, str, float, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    rows = [("a", "f", 1.0, "train"), ("b", "m", 2.0, "train"), *rows]
    corpus = table_of(tmp_path_factory.mktemp("table"), rows)
    parts = split(corpus, "column")
    for name in ("train", "dev", "test"):
        expected = [(item, sex, weight) for item, sex, weight, part in rows if part == name]
        assert rows_of(getattr(parts, name), corpus) == expected


@given(rows=_rows)
def test_deduplication_merges_rows_and_keeps_a_name_in_one_part(
    rows: list[tuple[str, str, float, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The names are split as those of a plain list are."""
    rows = [*((item, "f", 1.0, "train") for item in ("a", "b", "c", "aa", "bb")), *rows]
    folder = tmp_path_factory.mktemp("table")
    corpus = table_of(folder, rows)
    (folder / "names.txt").write_text("".join(f"{row[0]}\n" for row in rows), encoding="utf-8")
    plain = read_corpus(folder / "names.txt")
    found, expected = split(corpus, "dedup"), split(plain, "dedup")
    totals: dict[tuple[str, str], float] = defaultdict(float)
    for item, sex, weight, _ in rows:
        totals[item, sex] += weight
    merged = []
    for name in ("train", "dev", "test"):
        own, names = rows_of(getattr(found, name), corpus), texts(getattr(expected, name).tokens, plain.vocabulary)
        assert list(dict.fromkeys(item for item, _, _ in own)) == list(names)
        merged += own
    assert sorted(merged) == sorted((item, sex, weight) for (item, sex), weight in totals.items())


@pytest.mark.parametrize("power", [0.25, 0.5, 1.0, 2.0])
def test_weights_to_a_power(power: float, tmp_path: Path) -> None:
    """To 40 bits or more."""
    rows = [
        ("a", "f", 3.0, "train"),
        ("ab", "m", 0.0, "train"),
        ("b", "f", 70_000.0, "train"),
        ("c", "m", 1.5, "train"),
    ]
    corpus = table_of(tmp_path, rows)
    train = split(corpus, "all", weight_power=power).train
    weights = [weight for _, _, weight in rows_of(train, corpus)]
    np.testing.assert_allclose(weights, [row[2] ** power for row in rows], rtol=2**-40)
    assert train.size < 1 << 53
    assert split(corpus, "all", weight_power=0.0).train.counts is None


def test_whole_weights_stay_whole(tmp_path: Path) -> None:
    corpus = table_of(tmp_path, [("a", "f", 3.0, "train"), ("b", "m", 70_000.0, "train")])
    train = split(corpus, "all").train
    assert train.scale == 1
    assert train.counts is not None
    assert train.counts.tolist() == [3, 70_000]
    assert train.size == 2 * 70_003
