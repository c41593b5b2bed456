"""Texts of several parts: seeds of fields, templates, tables, repeats, the command."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

import sequentia
from sequentia import GenerationError, OptionError, compose, compose_arrow
from sequentia.sampling import seed_of

from .test_cli import fail, succeed

FIRST = {"model": "people", "where": {"sex": "f"}, "case": "title"}
LAST = {"model": "surnames", "case": "title"}


def test_the_fields_are_streams_of_their_own() -> None:
    names = compose("{first} {last}", 50, seed=1, first=FIRST, last=LAST)
    first = sequentia.generate(50, seed="1:first", **FIRST)  # type: ignore[arg-type]
    last = sequentia.generate(50, seed="1:last", **LAST)  # type: ignore[arg-type]
    assert names == [f"{a} {b}" for a, b in zip(first, last, strict=True)]
    assert compose("{first} {last}", 7, seed=1, last=LAST, first=FIRST) == names[:7]
    longer = compose("{last}, {first} {middle}", 50, seed=1, first=FIRST, last=LAST, middle=FIRST)
    assert [text.rpartition(" ")[0] for text in longer] == [f"{b}, {a}" for a, b in zip(first, last, strict=True)]
    assert [text.rpartition(" ")[2] for text in longer] != first
    of_text = compose("{first}", 9, seed="emma", first=FIRST)
    assert of_text == sequentia.generate(9, seed=f"{seed_of('emma')}:first", **FIRST)  # type: ignore[arg-type]
    assert compose("{first}", 9, seed="1", first=FIRST) != [name.split()[0] for name in names[:9]]


def test_without_a_seed() -> None:
    assert compose("{a}", 20, a={}) != compose("{a}", 20, a={})
    assert len(compose("{a}{b}", a={}, b={"prefix": "mar"})) == 1
    assert compose("{a}", 0, a={}) == []


def test_braces_and_repeated_fields() -> None:
    (text,) = compose("{{{a}}} 100 % {a}-{a}%s", seed=1, a={})
    name = text[1:].partition("}")[0]
    assert text == f"{{{name}}} 100 % {name}-{name}%s"


@pytest.mark.parametrize(
    ("template", "fields", "message"),
    [
        ("{a", {"a": {}}, "expected '}' before end of string; write {{ and }}"),
        ("a}", {"a": {}}, "Single '}'"),
        ("{}", {"a": {}}, "{} is not the name of a field"),
        ("{0}", {"a": {}}, "{0} is not the name of a field"),
        ("{a.__class__}", {"a": {}}, "{a.__class__} is not the name of a field"),
        ("{a[0]}", {"a": {}}, r"{a[0]} is not the name of a field"),
        ("{a:>9}", {"a": {}}, "{a:>9} is not the name of a field"),
        ("{a!r}", {"a": {}}, "{a!r} is not the name of a field"),
        ("{a:{b}}", {"a": {}, "b": {}}, "{a:{b}} is not the name of a field"),
        ("{seed}", {}, "{seed} cannot be a field, because seed is an option"),
        ("{a} {b}", {"a": {}}, "nothing says what {b} is"),
        ("{a}", {"a": {}, "b": {}}, "'{a}' contains no {b}"),
        ("{a}", {"a": {}, "case": "title"}, "put it into the field's dict, as in a=dict(case='title')"),
        ("{a}", {"a": {}, "where": {"sex": "f"}}, "where is an option of a field"),
        ("{a}", {"model": "people"}, "as in a=dict(model='people')"),
        ("a", {"prefix": "a"}, "as in field=dict(prefix='a')"),
        ("{n}", {"n": {}}, "{n} cannot be a field, because n is an option"),
        ("{a}", {"a": {}, "n": {}}, "n must be a whole number"),
        ("{a}", {"a": {"n": 1}}, "field 'a': it has as many names as there are texts; leave out n"),
        ("a", {}, "'a' contains no {field}"),
        (3, {"a": {}}, "it must be a string, not 3"),
        ("{a}", {"a": "people"}, "field 'a' must be a dict of options"),
        ("{a}", {"a": {"seed": 1}}, "field 'a': its seed is made of"),
        ("{a}", {"a": {"where": {"sex": "f"}}}, "field 'a': where: the model has no condition 'sex'"),
        ("{a}", {"a": {"case": "camel"}}, "field 'a': case must be"),
    ],
)
def test_mistakes(template: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        compose(template, **fields)
    assert message in str(caught.value)
    assert "--" not in str(caught.value), "that is of the command line"
    with pytest.raises(OptionError) as caught:
        compose_arrow(template, **fields)
    assert message in str(caught.value)


def test_a_field_may_be_called_as_an_option_of_fields() -> None:
    names = compose("{case} {template}", n=3, seed=1, case={}, template={})
    fields = [sequentia.generate(3, seed=f"1:{field}") for field in ("case", "template")]
    assert names == [" ".join(parts) for parts in zip(*fields, strict=True)]
    assert len(succeed("compose", "{a}-{where}", 3, "-f", "a=names", "-f", "where=people").splitlines()) == 3


def test_mistakes_of_other_kinds_say_the_field() -> None:
    with pytest.raises(TypeError, match="field 'a': unknown option 'topk'") as caught:
        compose("{a}", a={"topk": 3})
    assert "seed" not in str(caught.value), "a field has none"
    with pytest.raises(sequentia.VocabularyError, match=r"field 'a': .*try 'mar'"):
        compose("{a}", a={"prefix": "Mar"})
    with pytest.raises(sequentia.ModelNotFoundError, match="field 'a': no model 'nothing'"):
        compose("{a}", a={"model": "nothing"})
    for wrong in ({"n": -1}, {"seed": -1}, {"unique": 1}):
        with pytest.raises(OptionError):
            compose("{a}", a={}, **wrong)  # type: ignore[arg-type]


def test_unique_is_about_the_whole_text() -> None:
    short = {"model": "people", "temperature": 0.4}
    every = compose("{a}{b}", 3000, seed=2, a=short, b=short)
    unique = compose("{a}{b}", 300, seed=2, unique=True, a=short, b=short)
    assert len(set(every[:300])) < 300, "else this tests nothing"
    assert unique == list(dict.fromkeys(every))[:300]
    of_a_field = compose("{a} {b}", 30, seed=2, a={**short, "unique": True}, b=short)
    assert len({text.split()[0] for text in of_a_field}) == 30
    assert len({text.split()[0] for text in compose("{a} {b}", 30, seed=2, a=short, b=short)}) < 30


def test_what_cannot_be_unique_ends() -> None:
    few = {"temperature": 0}
    with pytest.raises(GenerationError, match=r"repeats in a row.*1 name found so far") as caught:
        compose("{a}-{b}", 2, seed=1, unique=True, a=few, b=few)
    assert len(caught.value.names) == 1
    assert "-" in caught.value.names[0]
    with pytest.raises(GenerationError, match="field 'b'"):
        compose("{a} {b}", 30, seed=1, a={}, b={"max_length": 1, "unique": True})
    with pytest.raises(GenerationError, match=r"field 'b': gave up after .* names found so far") as caught:
        compose("{a} {b}", 500, seed=1, a={}, b={"model": "people", "unique": True, "top_k": 2})
    assert 2 < len(set(caught.value.names)) < 500


def test_a_table() -> None:
    table = compose_arrow("{first} {last}", 40_000, seed=1, first=FIRST, last=LAST)
    assert table.schema == pa.schema({"name": pa.string(), "first": pa.string(), "last": pa.string()})
    columns = table.to_pydict()
    assert columns["name"] == compose("{first} {last}", 40_000, seed=1, first=FIRST, last=LAST)
    assert columns["name"] == [f"{a} {b}" for a, b in zip(columns["first"], columns["last"], strict=True)]
    assert compose_arrow("{a}", 0, a={}).column_names == ["name", "a"]
    with pytest.raises(OptionError, match=r"give the field \{name\} another name"):
        compose_arrow("{name}", name={})
    assert len(compose("{name}", name={})) == 1


def test_the_command(tmp_path: Path) -> None:
    fields = ("--field", "first=people:sex=f:decade=1920", "-f", "last=surnames", "--case", "title", "--seed", "1")
    first = {**FIRST, "where": {"sex": "f", "decade": "1920"}}
    table = compose_arrow("{first} {last}", 4, seed=1, first=first, last=LAST)
    assert succeed("compose", "{first} {last}", "4", *fields).splitlines() == table["name"].to_pylist()
    assert json.loads(succeed("compose", "{first} {last}", 4, *fields, "--json")) == table.to_pylist()
    for suffix in ("txt", "csv", "jsonl", "parquet"):
        succeed("compose", "{first} {last}", 4, *fields, "-o", tmp_path / f"names.{suffix}")
    assert (tmp_path / "names.txt").read_text(encoding="utf-8").splitlines() == table["name"].to_pylist()
    assert parquet.read_table(tmp_path / "names.parquet").to_pylist() == table.to_pylist()
    with (tmp_path / "names.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == table.to_pylist()
    lines = (tmp_path / "names.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == table.to_pylist()
    assert len(succeed("compose", "{a}", "-f", "a=names").splitlines()) == 10


def test_a_folder_with_a_colon(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "c:moons").symlink_to(trained, target_is_directory=True)
    assert succeed("compose", "{a}", 2, "-f", f"a={tmp_path}/c:moons")


@pytest.mark.parametrize(
    "field",
    ["first", "=people", "first=", "first=people:=f", "first=:sex=f", "first=people:sex", "first=people:sex=f:decade"],
)
def test_wrong_fields(field: str) -> None:
    assert "give it as FIELD=MODEL" in fail("compose", "{first}", "--field", field, code=2)


def test_other_mistakes_in_the_command() -> None:
    assert "given twice" in fail("compose", "{a}", "-f", "a=names", "-f", "a=people", code=2)
    assert "Missing option '--field'" in fail("compose", "{a}", code=2)
    assert "contains no {b}" in fail("compose", "{a}", "-f", "a=names", "-f", "b=names")
    twice = "sex is given twice, as 'f' and 'm'"
    assert twice in fail("compose", "{a}", 1, "-f", "a=people:sex=f:sex=m", code=2)
    assert twice in fail("generate", "-m", "people", "--where", "sex=f", "--where", "sex=m", code=2)
    assert succeed("compose", "{a}", 1, "-f", "a=people:sex=f:sex=f")
    missing = fail("compose", "{a} {b}", "-f", "a=names")
    assert "give it a model, as by --field b=names" in missing
    assert "contains no {case}" in fail("compose", "{a}", "-f", "a=names", "-f", "case=names")
