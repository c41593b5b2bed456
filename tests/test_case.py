# ruff: noqa: RUF001 - letters of many scripts
"""Letter case: what is shown by Unicode, texts told in any case, and scores of the model's own spelling."""

import csv
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

import sequentia
from sequentia import OptionError, SequenceModel, VocabularyError
from sequentia.bulk import Job, write_shard
from sequentia.case import CASES, in_case, letters_of
from sequentia.export import export
from sequentia.training import train
from sequentia.vocabulary import UNKNOWN, Vocabulary, WordVocabulary

from .test_cli import fail, succeed

MIXED = ["Anna", "anna", "ANNA", "Anouk", "annabel", "Maria", "MARIA", "mario", "Marianna", "de Groot", "Straße"] * 5


def model_of(folder: Path, items: list[str], *overrides: str) -> SequenceModel:
    (folder / "list.txt").write_text("\n".join(items), encoding="utf-8")
    train(folder / "list.txt", folder / "run", recipe="ngram", overrides=overrides)
    export(folder / "run", folder / "run")
    return sequentia.load(folder / "run")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> SequenceModel:
    """Return a model that has some letters in both cases."""
    return model_of(tmp_path_factory.mktemp("mixed"), MIXED)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> SequenceModel:
    items = ["Royal Copper Group", "royal Silver Group", "Silver Copper Plc"] * 9
    return model_of(tmp_path_factory.mktemp("words"), items, "symbols=words")


@pytest.mark.parametrize(
    ("text", "title", "lower", "upper"),
    [
        ("o'neil's", "O'neil's", "o'neil's", "O'NEIL'S"),
        ("anna-MARIA d’arc", "Anna-Maria D’arc", "anna-maria d’arc", "ANNA-MARIA D’ARC"),
        (
            "anne\u2010marie jean–paul",
            "Anne\u2010Marie Jean–Paul",
            "anne\u2010marie jean–paul",
            "ANNE\u2010MARIE JEAN–PAUL",
        ),
        ("'t hooft (de)", "'T Hooft (De)", "'t hooft (de)", "'T HOOFT (DE)"),
        ("3m 1st _x", "3m 1st _X", "3m 1st _x", "3M 1ST _X"),
        ("ΝΙΚΟΣ ΣΑΣ", "Νικος Σας", "νικος σας", "ΝΙΚΟΣ ΣΑΣ"),
        ("ǆabc", "ǅabc", "ǆabc", "ǄABC"),
        ("straße ßa", "Straße Ssa", "straße ßa", "STRASSE SSA"),
        ("izmir ılgaz", "Izmir Ilgaz", "izmir ılgaz", "IZMIR ILGAZ"),
        ("ÉLODIE", "Élodie", "élodie", "ÉLODIE"),
        ("陳大文 नेहा", "陳大文 नेहा", "陳大文 नेहा", "陳大文 नेहा"),
    ],
)
def test_the_case_of_texts(text: str, title: str, lower: str, upper: str) -> None:
    shown = {"title": title, "lower": lower, "upper": upper}
    for case in CASES:
        assert in_case([text], case) == [shown[case]]
        assert in_case([text, "io", text], case)[::2] == [shown[case]] * 2
    assert in_case([text], None) == [text]
    assert in_case([], "title") == []


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])).map(
            lambda t: unicodedata.normalize("NFC", t)
        )
    )
)
def test_texts_do_not_change_each_other(texts: list[str]) -> None:
    for case in CASES:
        shown = in_case(texts, case)
        assert shown == [in_case([text], case)[0] for text in texts]
        assert all(unicodedata.is_normalized("NFC", text) for text in shown)
    assert in_case(texts, "upper") == [unicodedata.normalize("NFC", text.upper()) for text in texts]


def test_letters_of_a_vocabulary() -> None:
    letters = letters_of(Vocabulary("aBσςß-Ab"))
    assert letters.same is not None
    assert letters.same.tolist() == [0, 1, 2, 3, 3, 5, 6, 1, 2]
    assert letters.spell("ABΣß-Éc") == "aBσß-Éc"
    assert letters_of(Vocabulary("abß")).same is None
    of_words = letters_of(WordVocabulary(["New", "york", "NEW", UNKNOWN]))
    assert of_words.spell("NEW  YORK city") == "New york city"
    assert of_words.same is not None
    assert of_words.same.tolist() == [0, 1, 2, 1, 4]


def test_the_names_are_the_same_in_another_case() -> None:
    model = sequentia.load()
    names = model.generate(200, seed=3)
    assert model.generate(200, seed=3, case="title") == [name.capitalize() for name in names]
    assert model.generate(200, seed=3, case="upper") == [name.upper() for name in names]
    assert model.generate(200, seed=3, case="lower") == names
    stream = model.stream(seed=3, case="title")
    assert [next(stream) for _ in range(200)] == model.generate_arrow(200, seed=3, case="title").to_pylist()
    assert sequentia.generate(3, seed=3, case="title") == model.generate(3, seed=3, case="title")
    (batch,) = model.batches(200, seed=3, case="title")
    assert model.vocabulary.decode(batch) == names, "ids have no case"
    assert sequentia.generate(3, model="surnames", seed=1, case="title") == [
        name.capitalize() for name in sequentia.generate(3, model="surnames", seed=1)
    ]


def test_texts_are_told_in_any_case() -> None:
    model = sequentia.load()
    told = {"prefix": "Mar", "suffix": "IA", "avoid": ["Ri"], "exclude": ["Marzia"]}
    own = {"prefix": "mar", "suffix": "ia", "avoid": ["ri"], "exclude": ["marzia"]}
    assert model.generate(50, seed=1, case="title", **told) == [  # type: ignore[arg-type]
        name.capitalize()
        for name in model.generate(50, seed=1, **own)  # type: ignore[arg-type]
    ]
    with pytest.raises(VocabularyError, match="try 'mar'"):
        model.generate(prefix="Mar")
    for option in ("prefix", "suffix"):
        with pytest.raises(VocabularyError, match='"O\'Él" contains "\'" at position 1') as caught:
            model.generate(case="title", **{option: "O'E\u0301l"})  # type: ignore[arg-type]
        assert caught.value.text == "O'Él", "as it was given, in NFC"
    assert model.probability(case="title", suffix="SON") == model.probability(suffix="son")


@pytest.mark.parametrize(
    ("told", "pattern"),
    [
        ({"prefix": "aN"}, "[Aa][nN].*"),
        ({"suffix": "NA"}, ".*[nN][aA]"),
        ({"prefix": "mA", "suffix": "o"}, "[mM][aA].*[oO]"),
        ({"prefix": "STR"}, "St[rR].*"),  # it has S and t in one case
    ],
)
def test_letters_in_both_cases_are_the_same(mixed: SequenceModel, told: dict[str, Any], pattern: str) -> None:
    """Both automata accept the same names, so that a seed gives the same."""
    names = mixed.generate(300, seed=2, case="upper", **told)
    assert names == [name.upper() for name in mixed.generate(300, seed=2, pattern=pattern)]


def test_filters_compare_letters_in_both_cases(mixed: SequenceModel) -> None:
    names = mixed.generate(400, seed=5)
    assert {"Anna", "ANNA", "anna"} & set(names)
    assert any("na" in name.lower() for name in names)
    avoided = mixed.generate(400, seed=5, avoid=["NA"], case="lower")
    assert not any("na" in name for name in avoided)
    assert mixed.generate(400, seed=5, exclude=["ANNA"], case="title") != mixed.generate(400, seed=5, case="title")
    assert "Anna" not in mixed.generate(400, seed=5, exclude=["ANNA"], case="title")
    unique = mixed.generate(60, seed=5, unique=True, case="title")
    assert len(set(unique)) == 60
    own = mixed.generate(60, seed=5, unique=True)
    assert len(set(in_case(own, "title"))) < 60, "else this tests nothing"


def test_a_model_of_words(words: SequenceModel) -> None:
    names = words.generate(40, seed=1, prefix="ROYAL", avoid=["plc"], case="upper")
    assert all(name.startswith("ROYAL ") or name == "ROYAL" for name in names)
    assert not any("PLC" in name for name in names)
    assert {"Royal", "royal"} <= {name.split()[0] for name in words.generate(200, seed=1)}
    with pytest.raises(VocabularyError, match="'Gold'"):
        words.generate(prefix="Gold", case="title")


@pytest.mark.parametrize("case", ["Title", "", 1, True, ["title"]])
def test_wrong_cases(case: Any) -> None:
    with pytest.raises(OptionError, match="case must be 'lower', 'title', 'upper' or None") as caught:
        sequentia.generate(case=case)
    assert caught.value.option == "case"


def test_names_found_before_an_error_are_shown_in_their_case() -> None:
    with pytest.raises(sequentia.GenerationError) as caught:
        sequentia.generate(27, prefix="marian", max_length=7, temperature=0.6, unique=True, case="upper")
    assert caught.value.names
    assert all(name.isupper() for name in caught.value.names)


def test_the_command(tmp_path: Path) -> None:
    options = ("generate", "4", "--seed", "1", "--prefix", "Mar", "--case", "title")
    names = sequentia.generate(4, seed=1, prefix="mar")
    scores = sequentia.load().score(names).tolist()
    shown = [name.capitalize() for name in names]
    assert succeed(*options).split() == shown
    assert [line.split("\t")[1:] for line in succeed(*options, "--scores").splitlines()] == [
        list(pair) for pair in zip(shown, names, strict=True)
    ]
    expected = [
        {"name": name, "log_probability": score, "spelled": own}
        for name, score, own in zip(shown, scores, names, strict=True)
    ]
    assert json.loads(succeed(*options, "--scores", "--json")) == expected
    for suffix in ("csv", "parquet"):
        succeed(*options, "--scores", "-o", tmp_path / f"names.{suffix}")
        succeed(*options, "-o", tmp_path / f"alone.{suffix}")
    assert parquet.read_table(tmp_path / "names.parquet").to_pylist() == expected
    assert parquet.read_table(tmp_path / "alone.parquet").to_pydict() == {"name": shown}
    with (tmp_path / "names.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["spelled"]) for row in rows] == list(zip(shown, names, strict=True))
    assert "'camel'" in fail("generate", "--case", "camel", code=2)


@pytest.mark.parametrize("scores", [True, False])
def test_a_shard(tmp_path: Path, scores: bool) -> None:
    model = sequentia.load()
    options = {"seed": 1, "case": "title"}
    job = Job(command="generate", model="0" * 64, names=30, rows_of_shard=20, scores=scores, options=options)
    write_shard(model, job, tmp_path, 1)
    names = model.generate(30, seed=1)[20:]
    table = parquet.read_table(tmp_path / "part-0000001.parquet").to_pydict()
    assert table.pop("name") == [name.capitalize() for name in names]
    assert table == ({"log_probability": model.score(names).tolist(), "spelled": names} if scores else {})


# What is shown alike though the model spells it in two ways: ß and ss in upper case

SHARP: dict[str, Any] = {"pattern": "ro(ß|ss|se)", "temperature": 3.0}


@pytest.fixture(scope="module")
def prior() -> SequenceModel:
    model = sequentia.load("prior")
    assert set(model.generate(20, seed=1, **SHARP)) == {"roß", "ross", "rose"}, "else the tests show nothing"
    return model


def test_unique_is_about_the_names_that_are_shown(prior: SequenceModel) -> None:
    options = {**SHARP, "unique": True, "case": "upper"}
    assert sorted(prior.generate(2, seed=1, **options)) == ["ROSE", "ROSS"]
    stream = prior.stream(seed=1, **options)
    assert sorted([next(stream), next(stream)]) == ["ROSE", "ROSS"]
    for draw in (
        lambda: next(stream),
        lambda: prior.generate_arrow(3, seed=1, **options),
        lambda: sequentia.compose("{a}", 3, seed=1, a={"model": "prior", **options}),
    ):
        with pytest.raises(sequentia.GenerationError, match="unique"):
            draw()
    command = ("-m", "prior", "--pattern", SHARP["pattern"], "--temperature", 3, "--unique", "--seed", 1)
    assert sorted(succeed("generate", 2, *command, "--case", "upper").split()) == ["ROSE", "ROSS"]
    assert sorted(prior.generate(3, seed=1, **{**options, "case": "lower"})) == ["rose", "ross", "roß"]


@pytest.mark.parametrize("excluded", ["ross", "ROSS", "Roß"])
def test_exclude_is_about_the_names_that_are_shown(prior: SequenceModel, excluded: str) -> None:
    options: dict[str, Any] = {**SHARP, "exclude": [excluded]}
    upper, name_of = {**options, "case": "upper"}, prior.namer(**options, case="upper")
    assert prior.generate(20, seed=1, **upper) == ["ROSE"] * 20
    assert prior.generate_arrow(20, seed=1, **upper).to_pylist() == ["ROSE"] * 20
    assert [name_of(seed) for seed in range(10)] == ["ROSE"] * 10
    assert sequentia.compose("{a}", 20, seed=1, a={"model": "prior", **upper}) == ["ROSE"] * 20
    assert {"ross", "roß", "rose"} - set(prior.generate(20, seed=1, case="lower", **options)) == {excluded.lower()}


def test_what_no_name_can_be_excludes_none(words: SequenceModel) -> None:
    options: dict[str, Any] = {"seed": 1, "case": "upper"}
    names = words.generate(9, **options)
    assert words.generate(9, exclude=["a\nb", "", "Gold", "x" * 99], **options) == names
    assert names[0] not in words.generate(200, exclude=[names[0].lower().replace(" ", "  ")], **options)
