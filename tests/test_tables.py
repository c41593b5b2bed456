"""Tables as corpora: formats, columns, what is refused and with which words."""

import csv
import gzip
import hashlib
import json
import re
import shlex
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sequentia import CorpusError
from sequentia.cli.options import column_options
from sequentia.columns import ColumnRequest, columns_of
from sequentia.config import MAX_CONDITIONS, MAX_VALUES, Columns
from sequentia.guess import find_table
from sequentia.training.corpus import Corpus, read_corpus
from sequentia.training.parts import texts

Write = Callable[[str, bytes | str], Path]
ROWS = [("emma", "f", 1920, 10, "train"), ("olivia", "f", 1930, 9, "Val"), ("liam", "m", 1920, 8, "TEST")]
KEYS = ("name", "sex", "decade", "births", "part")
ALL = columns_of("name", ["sex", "decade"], "births", "part")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") and isinstance(content, str) else data)
        return path

    return write


def names_of(corpus: Corpus) -> list[str]:
    return list(texts(corpus.tokens, corpus.vocabulary))


def delimited(separator: str, *, header: bool = True) -> str:
    rows = [KEYS, *ROWS] if header else ROWS
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


def json_lines() -> str:
    return "".join(json.dumps(dict(zip(KEYS, row, strict=True))) + "\n" for row in ROWS)


def request_of(options: str) -> ColumnRequest | None:
    """Return the request that options on a command line make."""

    @click.command()
    @column_options
    def command(columns: ColumnRequest | None) -> ColumnRequest | None:
        return columns

    result: ColumnRequest | None = command.main(shlex.split(options), standalone_mode=False)
    return result


# Formats


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", delimited(",")),
        ("a.CSV", "\ufeff" + delimited(",").replace("\n", "\r\n")),
        ("semicolons.csv", delimited(";")),
        ("tabs.csv", delimited("\t")),
        ("bars.csv", delimited("|")),
        ("blank.csv", delimited(",").replace("\n", "\n\n")),
        ("quoted.csv", delimited(",").replace("emma", '" emma "')),
        ("quoted.csv", delimited(";").replace("name;", '"name";')),
        ("a.tsv", delimited("\t")),
        ("a.tab", delimited("\t")),
        ("a.txt", delimited(",")),
        ("a.list", delimited("\t")),
        ("stdin", delimited(";")),
        ("a.jsonl", json_lines()),
        ("a.ndjson", json_lines().replace("1920", "1920.0").replace("\n", "\n\n")),
        ("a.csv.gz", delimited(",")),
        ("a.tsv.GZ", gzip.compress(delimited("\t").encode(), mtime=0)),
        ("a.jsonl.gz", json_lines()),
        ("a.txt.gz", delimited(",")),
    ],
)
def test_the_same_table_in_each_format(write: Write, name: str, content: bytes | str) -> None:
    path = write(name, content)
    check_rows(read_corpus(path, ALL), path)


def check_rows(corpus: Corpus, path: Path) -> None:
    assert names_of(corpus) == ["emma", "olivia", "liam"]
    assert corpus.values == {"sex": ["f", "m"], "decade": ["1920", "1930"]}
    assert corpus.conditions is not None
    assert corpus.conditions.dtype == np.uint8
    assert corpus.conditions.tolist() == [[1, 1], [1, 2], [2, 1]]
    assert corpus.weights is not None
    assert corpus.weights.dtype == np.float64
    assert corpus.weights.tolist() == [10, 9, 8]
    assert corpus.parts is not None
    assert corpus.parts.dtype == np.uint8
    assert corpus.parts.tolist() == [0, 1, 2]
    assert corpus.record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest(), "of the file as it is on the disk"
    assert corpus.record.columns == Columns(
        item="name", conditions={"sex": "sex", "decade": "decade"}, weight="births", split="part"
    )
    assert read_corpus(path, corpus.record.columns).record == corpus.record, "a record says what to read again"


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = dict(zip(KEYS, map(list, zip(*ROWS, strict=True)), strict=True))
    table = pa.table({"unused": [[1], [2], [3]], **columns})
    parquet.write_table(table.set_column(2, "sex", table["sex"].dictionary_encode()), path, row_group_size=2)
    check_rows(read_corpus(path, ALL), path)


def test_parquet_values_of_other_types(tmp_path: Path) -> None:
    from datetime import date
    from decimal import Decimal

    path = tmp_path / "a.parquet"
    days, prices = [date(1920, 1, 2), date(1930, 1, 2)], [Decimal("1.50"), Decimal("2.00")]
    flags, ratios = [True, False], [0.5, 1920.0]
    parquet.write_table(pa.table({"n.1": ["a", "b"], "day": days, "flag": flags, "price": prices, "r": ratios}), path)
    corpus = read_corpus(path, columns_of("n.1", ["day", "flag", "r"], "price"))
    assert corpus.values == {"day": ["1920-01-02", "1930-01-02"], "flag": ["false", "true"], "r": ["0.5", "1920"]}
    assert corpus.weights is not None
    assert corpus.weights.tolist() == [1.5, 2]


def test_a_table_without_a_header(write: Write) -> None:
    content = "Emma,F,18688\nOlivia,F,17921\nLiam,M,19837\n"
    for name in ("yob2018.txt", "yob2018.csv"):
        corpus = read_corpus(write(name, content), columns_of("1", ["sex=2"], "3"))
        assert names_of(corpus) == ["Emma", "Olivia", "Liam"]
        assert corpus.values == {"sex": ["F", "M"]}
        assert corpus.record.columns == Columns(item="1", conditions={"sex": "2"}, weight="3")
        assert read_corpus(write(name, content), corpus.record.columns).record == corpus.record
        found = read_corpus(write(name, content), columns_of(None, ["2"], "3"))
        assert found.record.columns == Columns(item="1", conditions={"2": "2"}, weight="3")


def test_cells_with_line_breaks_and_separators(write: Write) -> None:
    corpus = read_corpus(write("a.csv", 'note,name\n"two\nlines","Smith, J"\n"a ""b""",O\'Neil\n'), columns_of("name"))
    assert names_of(corpus) == ["Smith, J", "O'Neil"]


def test_values_are_cleaned(write: Write) -> None:
    path = write("a.csv", "name,x\n zoe\u0308 , e\u0301\nan\u200bna,\u00e9\n")
    with pytest.warns(UserWarning, match=r"removed 1 invisible character .*, the first in line 3"):
        corpus = read_corpus(path, columns_of("name", ["x"]))
    assert (names_of(corpus), corpus.values) == (["zo\u00eb", "anna"], {"x": ["\u00e9"]})


def test_names_of_columns_are_compared_in_one_form(write: Write) -> None:
    path = write("a.csv", "pre\u0301nom,x\nanna,1\neve,2\n")
    assert names_of(read_corpus(path, columns_of("pr\u00e9nom"))) == ["anna", "eve"]
    assert names_of(read_corpus(path, columns_of("pre\u0301nom"))) == ["anna", "eve"]
    path = write("a.jsonl", '{"pre\u0301nom": "anna", "é": 1}\n{"pre\u0301nom": "eve", "é": 2}\n')
    corpus = read_corpus(path, columns_of("pr\u00e9nom", ["e\u0301"]))
    assert corpus.record.columns == Columns(item="pr\u00e9nom", conditions={"é": "é"})
    parquet.write_table(pa.table({"pre\u0301nom": ["anna", "eve"]}), path.with_name("a.parquet"))
    assert names_of(read_corpus(path.with_name("a.parquet"), columns_of("pr\u00e9nom"))) == ["anna", "eve"]


def test_values_in_the_order_of_numbers(write: Write) -> None:
    corpus = read_corpus(write("a.csv", "n,x,y\na,10,10\nb,9,9\nc,-1,b\n"), columns_of("n", ["x", "y"]))
    assert corpus.values == {"x": ["-1", "9", "10"], "y": ["10", "9", "b"]}


def test_weights_of_any_size(write: Write) -> None:
    weights = [1.0] * 5000 + [2.0**32 - 1] + [3.0] * 5000 + [2.0**32] + [0.5, 1e300, 0.0]
    lines = "".join(f"a{i % 9},{weight!r}\n" for i, weight in enumerate(weights))
    corpus = read_corpus(write("a.csv", f"n,w\n{lines}"), columns_of("n", [], "w"))
    assert corpus.weights is not None
    assert corpus.weights.tolist() == weights


def test_many_values(write: Write) -> None:
    lines = "".join(f"{chr(97 + i % 26)},{i % MAX_VALUES}\n" for i in range(3 * MAX_VALUES))
    corpus = read_corpus(write("a.csv", f"n,x\n{lines}"), columns_of("n", ["x"]))
    assert corpus.conditions is not None
    assert corpus.conditions.dtype == np.uint16
    expected = [i % MAX_VALUES + 1 for i in range(3 * MAX_VALUES)]
    assert corpus.conditions[:, 0].tolist() == expected


CELLS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Cn", "Zs", "Zl", "Zp"], exclude_characters="\ufffc\ufffd"),
    min_size=1,
    max_size=5,
).map(lambda text: unicodedata.normalize("NFC", text))
TABLES = st.lists(
    st.tuples(CELLS, CELLS, st.floats(0, 1e9), st.sampled_from(["train", "dev", "val", "validation", "Test"])),
    min_size=2,
)


@settings(deadline=None)
@given(TABLES)
def test_tables_say_the_same_in_each_format(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, float, str]]
) -> None:
    rows += [("some", "thing", 1.0, "train"), ("other", "thing", 0.5, "dev")]
    folder, keys = tmp_path_factory.mktemp("tables"), ("a", "b", "c", "d")
    for name, separator in (("t.csv", ","), ("t.tsv", "\t")):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=separator).writerows([keys, *rows])
    (folder / "t.jsonl").write_text(
        "".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows), encoding="utf-8"
    )
    columns = dict(zip(keys, map(list, zip(*rows, strict=True)), strict=True))
    parquet.write_table(pa.table(columns), folder / "t.parquet")
    corpora = [read_corpus(folder / f"t.{kind}", columns_of("a", ["b"], "c", "d")) for kind in FORMATS]
    assert names_of(corpora[0]) == [row[0] for row in rows]
    values = corpora[0].values["b"]
    assert corpora[0].conditions is not None
    assert [values[i - 1] for i in corpora[0].conditions[:, 0]] == [row[1] for row in rows]
    assert corpora[0].weights is not None
    assert corpora[0].weights.tolist() == [row[2] for row in rows]
    for other in corpora[1:]:
        assert (names_of(other), other.values) == (names_of(corpora[0]), corpora[0].values)
        for name in ("conditions", "weights", "parts"):
            np.testing.assert_array_equal(getattr(other, name), getattr(corpora[0], name))


FORMATS = ("csv", "tsv", "jsonl", "parquet")


# Which column holds the items


def test_the_only_text_column_is_found(write: Write) -> None:
    corpus = read_corpus(write("a.csv", "count,name\n5,anna\n,eve\n"))
    assert (names_of(corpus), corpus.record.columns) == (["anna", "eve"], Columns(item="name"))
    assert names_of(read_corpus(write("a.csv", "name\nanna\neve\n"))) == ["anna", "eve"]
    with pytest.warns(UserWarning, match="the first line, 'code', is taken as the name of the only column"):
        assert names_of(read_corpus(write("a.csv", "code\n12\n21\n"))) == ["12", "21"], "there is no other column"
    assert names_of(read_corpus(write("a.csv", "anna\neve\n"), columns_of("1"))) == ["anna", "eve"]
    assert names_of(read_corpus(write("a.jsonl", '{"n": "anna", "x": 3}\n{"n": "eve", "x": 4}\n'))) == ["anna", "eve"]
    assert names_of(read_corpus(write("b.csv", delimited(",")), columns_of(None, ["sex"], None, "part"))) == [
        "emma",
        "olivia",
        "liam",
    ]
    parquet.write_table(pa.table({"x": [1, 2], "n": ["anna", "eve"]}), write("a.parquet", b""))
    assert names_of(read_corpus(write("a.csv", "x\n").with_name("a.parquet"))) == ["anna", "eve"]


def test_lines_of_strings(write: Write) -> None:
    corpus = read_corpus(write("a.jsonl", '"anna"\n\n" ev\\u0065 "\n'))
    assert (names_of(corpus), corpus.record.columns) == (["anna", "eve"], None)


def test_lines_are_items_if_told_so(write: Write) -> None:
    for name in ("a.txt", "a.csv", "a.txt.gz", "a.jsonl"):
        path = write(name, delimited(","))
        corpus = read_corpus(path, columns_of("0"))
        assert names_of(corpus) == delimited(",").splitlines()
        assert corpus.record.columns == Columns(item="0")
        assert read_corpus(path, corpus.record.columns).record == corpus.record
        assert (corpus.conditions, corpus.weights, corpus.parts) == (None, None, None)


def test_a_name_that_is_a_number_or_has_an_equals_sign(write: Write) -> None:
    path = write("a.jsonl", '{"1": "x", "a=b": "f", "2": "anna"}\n{"1": "y", "a=b": "m", "2": "eve"}\n')
    corpus = read_corpus(path, columns_of("2", ["cd=a=b", "of=1"]))
    assert names_of(corpus) == ["anna", "eve"]
    assert corpus.record.columns == Columns(item="2", conditions={"cd": "a=b", "of": "1"})
    for condition, name in (("a=b", "a=b"), ("c=d=a=b", "c=d")):
        with pytest.raises(CorpusError, match=f"--where could not ask for a condition of the name '{name}'"):
            read_corpus(path, columns_of("2", [condition]))
    corpus = read_corpus(write("a.csv", "name,2018\nanna,5\neve,6\n"), columns_of("name", [], "2018"))
    assert corpus.weights is not None
    assert corpus.weights.tolist() == [5, 6]


def test_a_column_is_one_thing_only(write: Write) -> None:
    path = write("a.csv", "name,sex,births\nanna,f,3\neve,f,4\nada,m,5\n")
    for column, conditions, weight, twice in (
        ("name", ["name"], None, "name"),
        ("name", ["sex", "again=sex"], None, "sex"),
        ("name", ["births"], "births", "births"),
        (None, ["name", "sex"], "name", "name"),
    ):
        with pytest.raises(CorpusError, match=f"the column '{twice}' is asked for twice"):
            read_corpus(path, columns_of(column, conditions, weight))


def test_a_header_is_no_row(write: Write) -> None:
    asked = columns_of("1", ["sex=2"])
    for header in ("name,sex,births", "Vorname,Geschlecht,Anzahl"):
        with pytest.raises(CorpusError, match="line 1 holds the names of the columns, it seems"):
            read_corpus(write("a.csv", f"{header}\nanna,f,3\neve,f,4\nadam,m,5\n"), asked)
    with pytest.raises(CorpusError, match="line 1 holds the names of the columns"):
        read_corpus(write("a.csv", "name,sex\nanna,f\neve,f\n"), asked)
    for rows in ("Anna,F,3\nEve,F,4\nAdam,M,5\n", "anna,f\neve,f\nadam,m\n"):
        assert len(read_corpus(write("a.csv", rows), asked)) == 3


def test_a_json_array_is_no_table(write: Write) -> None:
    with pytest.raises(CorpusError, match=r"a JSON array cannot be read row by row; write it as \.jsonl"):
        read_corpus(write("a.json", '[{"name": "anna"}]'))


def test_nothing_is_asked_for_without_options() -> None:
    assert columns_of() is None
    assert request_of("") is None
    options = "--column name --condition sex --condition when=decade --weight births --split-column part"
    assert request_of(options) == ColumnRequest("name", ("sex", "when=decade"), "births", "part")
    result = CliRunner().invoke(click.command()(column_options(print)), ["--column", ""])
    assert "the column is empty" in result.output


# Errors: file, row and column


HEAD = "name,sex,births,part\nemma,f,10,train\n"
FULL: tuple[Any, ...] = ("name", ["sex"], "births", "part")


@pytest.mark.parametrize(
    ("name", "content", "given", "message"),
    [
        ("a.csv", "", FULL, "the table is empty"),
        ("a.jsonl", "\n", FULL, "the table is empty"),
        ("a.jsonl", "\n", (), "the file holds no items; it needs one a line"),
        ("a.csv", "name,sex\n", ("name",), "the file holds no items; it needs one a row"),
        ("a.csv", HEAD, ("nam",), "there is no column 'nam', only 'name', 'sex', 'births', 'part'"),
        ("a.csv", HEAD, ("name", ["x=age"]), "there is no column 'age', only 'name'"),
        ("a.csv", HEAD, ("name", [], "3"), "there is no column '3', only .*; give all columns by their names, or all"),
        ("a.csv", HEAD, ("9",), "there is no column 9: the first row has 4, counted from 1"),
        ("a.csv", HEAD, ("name", ["sex", "sex"]), "two conditions have the name 'sex'; name a condition by"),
        ("a.csv", HEAD, ("name", ["=sex"]), "a condition has no name"),
        ("a.csv", HEAD, ("name", ["sex"] * (MAX_CONDITIONS + 1)), "two conditions have the name"),
        ("a.csv", HEAD, ("name", [f"{i}=sex" for i in range(17)]), "17 conditions are more than 16; leave some out"),
        ("a.csv", HEAD, ("0", ["sex"]), "--column 0 makes each line an item, so it goes with no other columns"),
        ("a.csv", "n,n,x\na,b,1\n", ("n",), "2 columns have the name 'n': rename them"),
        ("a.csv", HEAD, (), "'name', 'sex', 'part' may hold the items: say which column does, for example --column"),
        ("a.csv", "a,b\n1,2\n", (), "no column is left for|'a', 'b' may hold the items: .*; the columns are 'a', 'b'"),
        ("a.csv", "a\nx\n", (None, ["a"]), "no column is left for the items: say which column does; the columns"),
        ("a.csv", HEAD + "\n,f,1,dev\n", FULL, "line 4, column 'name': the value is missing"),
        ("a.csv", HEAD + "eve, ,1,dev\n", FULL, "line 3, column 'sex': the value is missing"),
        ("a.csv", HEAD + "eve,f,,dev\n", FULL, "line 3, column 'births': the weight is missing; a weight is a number"),
        ("a.csv", HEAD + "eve,f,few,dev\n", FULL, "line 3, column 'births': 'few' is not a number"),
        ("a.csv", HEAD + "eve,f,1_0,dev\n", FULL, "line 3, column 'births': '1_0' is not a number"),
        ("a.csv", HEAD + "eve,f,nan,dev\n", FULL, "line 3, column 'births': 'nan' is not a number"),
        ("a.csv", HEAD + "eve,f,inf,dev\n", FULL, "line 3, column 'births': 'inf' is not a number"),
        ("a.csv", HEAD + "eve,f,1e999,dev\n", FULL, "line 3, column 'births': the weight 1e999 is too large"),
        ("a.csv", HEAD + "eve,f,-1,dev\n", FULL, "line 3, column 'births': the weight -1 is negative"),
        ("a.csv", HEAD.replace("10", "0") + "eve,f,0,dev\n", FULL, "all weights in the column 'births' are 0"),
        ("a.csv", HEAD + "eve,f,1,\n", FULL, "line 3, column 'part': the part of the split is missing"),
        ("a.csv", HEAD + "eve,f,1,x\n", FULL, "line 3, column 'part': 'x' is no part of a split; a part is one of tr"),
        ("a.csv", HEAD + "e\0ve,f,1,dev\n", FULL, r"line 3, column 'name': the value contains U\+0000"),
        ("a.csv", HEAD + '"e\nve",f,1,dev\n', FULL, r"line 3, column 'name': the value contains U\+000A"),
        ("a.csv", HEAD + "eve,\x1bf,1,dev\n", FULL, r"line 3, column 'sex': the value contains U\+001B"),
        ("a.csv", HEAD + f"{'e' * 4097},f,1,dev\n", FULL, "line 3, column 'name': the value has more than 4,096 chara"),
        (
            "a.csv",
            HEAD + f"e,{'f' * 257},1,dev\n",
            FULL,
            "line 3, column 'sex': the value has more than 256 characters",
        ),
        ("a.csv", HEAD + "eve,f,1\n", FULL, "line 3 has 3 values, but line 1 has 4: check for missing quotation marks"),
        ("a.csv", HEAD + "eve,f,1,dev,\n", ("name",), "line 3 has 5 values, but line 1 has 4"),
        ("a.csv", HEAD + 'eve,"f,1,dev\nann,m,1,dev\n', FULL, "line 3 is not valid CSV .*not closed"),
        ("a.csv", HEAD + 'eve,"' + "f\n" * 99_999, FULL, "line 3 is not valid CSV .*not closed"),
        ("a.csv", HEAD + 'eve,"f"x,1,dev\n', FULL, "line 3 is not valid CSV"),
        ("a.csv", HEAD + "e" * 70_000, FULL, "line 3 is longer than 65,536 bytes"),
        ("a.csv", HEAD.encode() + b"\xff,f,1,dev\n", FULL, r"byte 37 \(line 3\) is not UTF-8"),
        ("a.csv", "a,b\n".encode("utf-16"), ("a",), r"byte 0 \(line 1\) is not UTF-8"),
        ("a.jsonl", '{"a": "x"}\n{"b": "y"}\n', ("a",), "line 2, column 'a': the value is missing"),
        ("a.jsonl", '{"a": "x"}\n{"a": null}\n', ("a",), "line 2, column 'a': the value is missing"),
        ("a.jsonl", '{"a": "x"}\n{"a": [1]}\n', ("a",), "line 2, column 'a': the value is neither a text nor a numb"),
        ("a.jsonl", '{"a": "x"}\n"y"\n', ("a",), "line 2 is a string, not an object, so it has no columns"),
        ("a.jsonl", '"y"\n{"a": "x"}\n', (), "line 2 is an object, but the lines before are strings"),
        ("a.jsonl", '"y"\n" "\n', (), "line 2: the value is missing"),
        ("a.jsonl", '{"a": "x"}\n{"a": \n', ("a",), "line 2 is no JSON object: "),
        ("a.jsonl", '{"a": "x"}\n' + '{"a":' * 9999 + "\n", ("a",), "line 2 is no JSON object: "),
        ("a.jsonl", '{"a": "x", "w": 1}\n{"a": "x", "w": true}\n', ("a", [], "w"), "column 'w': 'true' is not a numb"),
        ("a.csv.gz", b"name,sex\nemma,f\n", ("name",), "the file is no gzip file, or is damaged"),
        (
            "a.csv.gz",
            gzip.compress(HEAD.encode() * 99, mtime=0)[:-9],
            ("name",),
            "the file is no gzip file, or is damaged",
        ),
        ("a.parquet", b"no", ("name",), "a.parquet is no Parquet file"),
        ("a.parquet", b"no", ("0",), "a Parquet file has no lines, so there is no column 0"),
        ("a.parquet.gz", b"no", ("a",), "Parquet within gzip cannot be read; unpack the file"),
        ("a.txt", "anna\tb\neve\tc\n", (), "line 1 contains a tab: .* a table whose columns are given: --column"),
    ],
)
def test_a_table_that_is_no_corpus(
    write: Write, name: str, content: bytes | str, given: tuple[Any, ...], message: str
) -> None:
    path = write(name, content)
    with pytest.raises(CorpusError, match=message) as caught:
        read_corpus(path, columns_of(*given))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert caught.value.path == path
    number = re.search(r": line (\d+)[, ](?:column|has|is (?:not|a))", str(caught.value))
    if number:
        assert caught.value.line == int(number[1])


def test_too_many_values(write: Write) -> None:
    lines = "".join(f"a{i % 2},{i}\n" for i in range(MAX_VALUES + 1))
    with pytest.raises(CorpusError, match=r"line 4098, column 'x': the condition 'id' has more than 4,096 values: is"):
        read_corpus(write("a.csv", f"n,x\n{lines}"), columns_of("n", ["id=x"]))


def test_rows_of_parquet_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"n": ["a", None], "w": [1.0, float("nan")], "b": [b"a", b"b"]}), path)
    for options, message in (
        (("n",), "row 2, column 'n': the value is missing"),
        (("b",), "row 1, column 'b': the value is neither a text nor a number"),
        (("x",), "there is no column 'x', only 'n', 'w', 'b'"),
        (("n", [], "w"), "row 2, column 'n': the value is missing"),
    ):
        with pytest.raises(CorpusError, match=message):
            read_corpus(path, columns_of(*options))
    parquet.write_table(pa.table([["a", "b"], ["c", "d"]], names=["n", "n"]), path)
    with pytest.raises(CorpusError, match="2 columns have the name 'n'"):
        read_corpus(path, columns_of("n"))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.parquet", "a.csv.gz"):
        with pytest.raises(CorpusError, match="there is no such file"):
            read_corpus(tmp_path / name, columns_of("name"))


# Tables in text files


def suggested(error: CorpusError) -> str:
    found = re.search(r": sequentia train .*?(--.*), or as lines: --column 0$", str(error))
    assert found is not None
    return found[1]


NAMES = ["emma", "olivia", "ava", "liam", "noah", "o'neil", "zoë", "mary-ann"]


@pytest.mark.parametrize("name", ["names.txt", "names", "stdin", "my names.txt.gz"])
@pytest.mark.parametrize(
    ("header", "row", "options"),
    [
        ("name,sex,births", "{0},{1},{2}", "--column name --condition sex --weight births"),
        ("name, sex, births", "{0}, {1}, {2}", "--column name --condition sex --weight births"),
        ("", "{0},{1},{2}", "--column 1 --condition 2 --weight 3"),
        ("", "{0};{2}", "--column 1 --weight 2"),
        ("", "{0}|{2}|{1}", "--column 1 --condition 3 --weight 2"),
        ("first name\tsex", "{0}\t{1}", "--column 'first name' --condition sex"),
        ("", "{0}\t{1}", "--column 1 --condition 2"),
        (
            "sex,decade,name,births",
            "{1},1920,{0},{2}",
            "--column name --condition sex --condition decade --weight births",
        ),
        ("rank,name,births", "{3},{0},{2}", "--column name --weight births"),
        ("name,split", "{0},train", "--column name --split-column split"),
        ("nom,genre", "{0},{1}", None),
        ("", '"{0}, x",{2}', "--column 1 --weight 2"),
    ],
)
def test_a_text_file_that_is_a_table(write: Write, name: str, header: str, row: str, options: str | None) -> None:
    rows = [row.format(item, "fm"[i > 2], 7 * i % 5 + 3 * i, i + 1) for i, item in enumerate(NAMES)]
    path = write(name, "\n".join([header] * bool(header) + rows) + "\n")
    if options is None:
        read_corpus(path)
        return
    with pytest.raises(CorpusError, match=r": its lines look like a table of \d columns separated by ") as caught:
        read_corpus(path)
    assert suggested(caught.value) == options
    corpus = read_corpus(path, request_of(options))
    assert [item.removesuffix(", x") for item in names_of(corpus)] == NAMES
    if "\t" not in row:
        assert len(read_corpus(path, columns_of("0"))) == len(NAMES) + bool(header)


def test_the_whole_message(write: Write) -> None:
    path = write("names.txt", "name,sex,births\nemma,f,10\nolivia,f,9\nliam,m,8\n")
    with pytest.raises(CorpusError) as caught:
        read_corpus(path)
    assert str(caught.value) == (
        f"{path}: its lines look like a table of 3 columns separated by commas (name, sex, births); read it as one: "
        f"sequentia train {path} --column name --condition sex --weight births, or as lines: --column 0"
    )


def test_a_csv_file_without_a_header(write: Write) -> None:
    path = write("a.csv", "Emma,F,18688\nOlivia,F,17921\nLiam,M,19837\n")
    for request in (None, columns_of("name")):
        with pytest.raises(CorpusError, match="line 1 must hold the names of the columns, but has 'Emma', ") as caught:
            read_corpus(path, request)
        options = str(caught.value).rpartition("positions: ")[2]
        assert options == "--column 1 --condition 2 --weight 3"
        assert names_of(read_corpus(path, request_of(options))) == ["Emma", "Olivia", "Liam"]


@pytest.mark.parametrize(
    "lines",
    [
        [f"{name.title()}, John" for name in NAMES],
        [f"{name},{other}" for name, other in pairwise(NAMES)],
        ["Washington, D.C."] * 3 + ["Portland, OR", "Portland, ME", "Seattle, WA"],
        ["2001: A Space Odyssey", "10,000 BC", "Catch-22", "The Good, the Bad and the Ugly", "1,001 Nights"],
        ["1,000 Nights", "2,000 Leagues", "3,000 Years", "4,000 Days"],
        ["3,14", "2,71", "1,41"],
        ["O'Neil-Smith", "Jean-Luc", "d'Arc"],
        ["Yes, it is so.", "No, it is not.", "Well, who knows?"],
        ['"Yes", he said', '"No", she said', '"Well", they said'],
        ["name", "anna", "eve", "zoe"],
        ["emma 10", "olivia 9", "liam 8"],
        ["a,1", "b", "c", "d"],
    ],
)
def test_lists_that_are_no_tables(write: Write, lines: list[str]) -> None:
    assert find_table(lines) is None
    assert names_of(read_corpus(write("a.txt", "\n".join(lines)))) == lines
