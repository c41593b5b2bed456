"""The sampler: every option against the reference, patterns, probabilities, and the training list's names."""

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import sequentia
from sequentia import GenerationError, OptionError, SequenceModel, generation, lookahead
from sequentia.drawing import Attempts, draw_attempts
from sequentia.export import export
from sequentia.generation import stream_names
from sequentia.loaded import loaded
from sequentia.logit_cache import LogitCache
from sequentia.lookahead import Methods
from sequentia.novelty import KnownNames
from sequentia.options import Plan
from sequentia.pattern import compile_pattern
from sequentia.training import evaluate_model, train
from sequentia.vocabulary import Names, Vocabulary

from . import golden, golden_models
from .conftest import MOONS
from .reference import Options, Reference

PATTERNS = [
    "t.*",
    "[^aeiou]?[aeiou].*n",
    ".{3}|.{6}",
    "(ti|ca|pa)+.*",
    "a.*|b.*|io",
    r"\w+s",
    "t(i|e)[a-m]*(s|a)?n?.{0,4}",
]
MOON_NAMES = MOONS.read_text(encoding="utf-8").split()

OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "prefix": st.sampled_from(["", "t", "ti", "ca", "themis"]),
    "temperature": st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    "top_k": st.none() | st.integers(1, 30),
    "top_p": st.none() | st.floats(0.05, 1),
    "min_length": st.integers(1, 6),
    "max_length": st.none() | st.integers(6, 20),
    "pattern": st.none() | st.sampled_from(PATTERNS),
    "suffix": st.sampled_from(["", "n", "us", "a", "themis"]),
    "avoid": st.lists(st.sampled_from(["a", "e", "ti", "us", "iti", "nothing!", "Ti"]), max_size=3),
    "exclude": st.lists(st.sampled_from(["titan", "io", "tia", "caan", "nothing!", "Ti"]), max_size=4),
    "novel": st.booleans(),
}
SEED = {"seed": st.integers(0, 2**128 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)}
WANTED = 12


# The reference sampler


@contextmanager
def small_pilots(*models: SequenceModel) -> Iterator[pytest.MonkeyPatch]:
    """Decide from few names which attempts are guided, in the library and in the reference, which is slow."""
    with pytest.MonkeyPatch.context() as patch:
        for ours, theirs, value in (
            ("_FREE", "plain_names.FREE", 64),
            ("_PILOT", "plain_names.CANDIDATES", 200),
            ("_MOST_STEPS", "plain_constraints.MOST_CHANCES", 1 << 17),  # so that most have k = 1
            ("_RAREST", "plain_names.LEAST", 1 / 32),  # the reference draws one attempt after the other
        ):
            patch.setattr(f"sequentia.lookahead.{ours}", value)
            patch.setattr(f"tests.{theirs}", value)
        for model in models:
            model._bindings.renew()
        yield patch
    for model in models:
        model._bindings.renew()


def drawn_in_every_way(model: SequenceModel, n: int, options: dict[str, Any]) -> list[list[str]]:
    """Return the first ``n`` names of a stream, as each method returns them, from one thread and from three."""
    several = SequenceModel(model._artifact, threads=3)
    return [
        model.generate(n, **options),
        several.generate(n, **options),
        list(itertools.islice(model.stream(**options), n)),
        [name for batch in model.batches(n, **options) for name in model.vocabulary.decode(batch)],
        model.generate_arrow(n, **options).to_pylist(),
    ]


@given(
    st.fixed_dictionaries(SEED, optional=OPTIONS | {"unique": st.booleans()}),
    st.integers(0, WANTED),
    st.sampled_from([1, 8, 9, 1 << 17]),
    st.sampled_from([1, 7, 1 << 12]),
)
@example({"seed": 1, "prefix": "titan", "max_length": 5}, 3, 8, 7)
@example({"seed": "titan", "pattern": "t(i|e).", "novel": True, "unique": True}, 12, 9, 7)
@hypothesis_settings(max_examples=150)
def test_every_way_to_generate_equals_the_reference(
    moons: SequenceModel, options: dict[str, Any], n: int, batch: int, candidates: int
) -> None:
    """Any options, sizes of batches and numbers of names.

    Where the reference ends, the library raises an error that has the same names and counts.
    """
    with small_pilots(moons) as patch:
        patch.setattr("sequentia.generation._MAX_BATCH", batch)
        patch.setattr("sequentia.generation._CANDIDATES", candidates)
        patch.setattr("sequentia.rejection._PATIENCE", 100)
        patch.setattr("sequentia.rejection._MAX_ATTEMPTS", 100)
        patch.setattr("tests.plain_names.ATTEMPTS", 100)
        reference = Reference(moons, Options(**options), patience=100)
        if not reference.possible:
            with pytest.raises(OptionError, match=r"no name of .* in the model's alphabet"):
                moons.generate(WANTED, **options)
            return
        expected = list(itertools.islice(reference.names(), WANTED))
        assert moons.generate(min(n, len(expected)), **options) == expected[:n]
        if len(expected) == WANTED:
            for names in drawn_in_every_way(moons, WANTED, options):
                assert names == expected
        elif options.get("unique") and reference.possible < WANTED:
            with pytest.raises(GenerationError, match=f"allow {reference.possible};"):
                moons.generate(WANTED, **options)
        elif reference.too_rare:
            with pytest.raises(
                GenerationError, match=r"too rarely to find names|by none of the names tried|most_likely finds"
            ):
                moons.generate(WANTED, **options)
        else:
            for model in (moons, SequenceModel(moons._artifact, threads=3)):
                with pytest.raises(GenerationError, match="gave up after") as caught:
                    model.generate(WANTED, **options)
                assert (caught.value.names, caught.value.rejected) == (expected, reference.rejected)
                assert caught.value.accepted == len(expected)
                assert caught.value.candidates == len(expected) + reference.rejected.total()


@given(
    st.fixed_dictionaries(SEED, optional=OPTIONS),
    st.integers(0, 10**12) | st.sampled_from([2**62 - 5, 2**63 - 3]),
    st.integers(0, 12),
)
@hypothesis_settings(max_examples=60)
def test_a_shard_equals_the_reference(moons: SequenceModel, options: dict[str, Any], first: int, number: int) -> None:
    """Also where the counter of random numbers passes 64 bits, and where the index does not fit in them."""
    with small_pilots(moons) as patch:
        patch.setattr("sequentia.generation._MAX_BATCH", 5)
        patch.setattr("sequentia.rejection._PATIENCE", 100)
        patch.setattr("sequentia.rejection._MAX_ATTEMPTS", 100)
        patch.setattr("tests.plain_names.ATTEMPTS", 100)
        reference = Reference(moons, Options(**options), patience=100)
        assume(reference.possible)
        expected = reference.shard(first, number)
        batches: list[Names] = []
        shard = moons.shard(first, number, **options)
        if len(expected) == number:
            batches.extend(shard)
        else:
            with pytest.raises(GenerationError) as caught:
                batches.extend(shard)
            if not reference.too_rare:
                assert (caught.value.accepted, caught.value.rejected) == (len(expected), reference.rejected)
    assert [name for batch in batches for name in moons.vocabulary.decode(batch)] == expected


@pytest.fixture(scope="module", params=[name for name in golden_models.MODELS if name.endswith("-where")])
def conditioned(request: pytest.FixtureRequest) -> SequenceModel:
    """A small model with conditions."""
    return sequentia.load(golden.MODELS / request.param)


LETTER_OPTIONS = OPTIONS | {
    "prefix": st.sampled_from(["", "a", "gag"]),
    "pattern": st.none() | st.sampled_from(["[a-d].*", "(a|b)*[c-h]{1,3}.*", ".{3}|.{5}"]),
    "suffix": st.sampled_from(["", "a", "cb", "gag"]),
    "avoid": st.lists(st.sampled_from(["a", "cb", "gag", "Z"]), max_size=2),
    "exclude": st.lists(st.sampled_from(["a", "f", "ff", "cb"]), max_size=3),
    "top_k": st.none() | st.integers(1, 9),
}


@given(
    st.fixed_dictionaries(SEED, optional=LETTER_OPTIONS | {"unique": st.booleans()}),
    st.data(),
    st.sampled_from([5, 1 << 17]),
)
@hypothesis_settings(max_examples=60)
def test_every_way_to_generate_under_conditions_equals_the_reference(
    conditioned: SequenceModel, options: dict[str, Any], data: st.DataObject, batch: int
) -> None:
    """The look ahead, too, is that of the conditions."""
    values = {name: st.sampled_from(each) for name, each in conditioned.conditions.items()}
    options["where"] = data.draw(st.fixed_dictionaries({}, optional=values))
    with small_pilots(conditioned) as patch:
        patch.setattr("sequentia.generation._MAX_BATCH", batch)
        patch.setattr("sequentia.rejection._PATIENCE", 100)
        patch.setattr("sequentia.rejection._MAX_ATTEMPTS", 100)
        patch.setattr("tests.plain_names.ATTEMPTS", 100)
        reference = Reference(conditioned, Options(**options), patience=100)
        assume(reference.possible)
        expected = list(itertools.islice(reference.names(), WANTED))
        if len(expected) == WANTED:
            for names in drawn_in_every_way(conditioned, WANTED, options):
                assert names == expected
            if not options.pop("unique", False):
                shard = conditioned.shard(4, WANTED - 4, **options)
                assert [name for names in shard for name in conditioned.vocabulary.decode(names)] == expected[4:]
        else:
            with pytest.raises(GenerationError) as caught:
                conditioned.generate(WANTED, **options)
            if not reference.too_rare and not options.get("unique"):
                assert (caught.value.names, caught.value.rejected) == (expected, reference.rejected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prefix": "ma"},
        {"temperature": 0.0},
        {"temperature": 1.7},
        {"top_k": 3},
        {"top_p": 0.8},
        {"min_length": 9},
        {"max_length": 3},
        {"max_length": 40, "min_length": 7},
        {"suffix": "lyn"},
        {"suffix": "a", "avoid": ["ia", "y"], "top_p": 0.9},
        {"avoid": ["a", "e", "Z"], "prefix": "m", "unique": True},
        {"pattern": "[^aeiou]?[aeiou].*n|.{4}"},
        {"top_k": 5, "unique": True},
        {"novel": True},
        {"top_k": 2, "exclude": ["maria", "mari", "jada"]},
        {"prefix": "a", "temperature": 0.7, "top_k": 9, "top_p": 0.9, "min_length": 3, "max_length": 8}
        | {"pattern": ".*[an]", "unique": True, "novel": True, "exclude": ["alana"]},
    ],
    ids=str,
)
def test_the_bundled_model_equals_the_reference(options: dict[str, Any]) -> None:
    model = sequentia.load()
    with small_pilots(model, loaded(None)) as patch:
        reference = Reference(model, Options(seed=6, **options))
        n = 3 if options.get("temperature") == 0 else 100
        expected = list(itertools.islice(reference.names(), n))
        assert len(expected) == n
        assert sequentia.generate(n, seed=6, **options) == expected
        patch.setattr("sequentia.generation._MAX_BATCH", 32)
        for names in drawn_in_every_way(model, n, {"seed": 6, **options}):
            assert names == expected
        shard = model.shard(30, 40, seed=6, **{key: value for key, value in options.items() if key != "unique"})
        assert [name for batch in shard for name in model.vocabulary.decode(batch)] == reference.shard(30, 40)


@pytest.mark.parametrize("most", [0, 100, 1 << 18])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prefix": "ma", "temperature": 0.5, "top_k": 4, "top_p": 0.9},
        {"max_length": 20},
        {"novel": True, "exclude": ["maria"], "unique": True},
        {"min_length": 5, "suffix": "a"},
        {"temperature": 0},
    ],
)
def test_a_single_name_is_the_first_of_several(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], most: int
) -> None:
    """However many beginnings of names are kept: none, three or all."""
    monkeypatch.setattr(lookahead, "_MOST_SUMS", most)
    model = sequentia.load("names")
    for seed in [*range(6), *range(6)]:
        several = {**options, "unique": False}
        assert model.generate(1, seed=seed, **options) == model.generate(2, seed=seed, **several)[:1]


def test_a_single_name_does_not_wait_for_a_look_ahead() -> None:
    model = sequentia.load("names")
    methods = model._methods({})
    with methods._lock:
        assert ThreadPoolExecutor(1).submit(model.generate, 1, seed=4).result(60) == model.generate(1, seed=4)


def test_symbols_that_compose_equal_the_reference(tmp_path: Path) -> None:
    """A name that is not NFC is drawn again: it would change when it is read back."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(["zx\u0301a", "xz\u0323z", "z\u0327x\u0301", "axz\u0331"] * 5), encoding="utf-8")
    train(corpus, tmp_path / "run", recipe="mlp", overrides=["steps=60"])
    export(tmp_path / "run", tmp_path / "run")
    model = sequentia.load(tmp_path / "run")
    reference = Reference(model, Options(seed=1, temperature=5))
    expected = list(itertools.islice(reference.names(), 200))
    assert reference.rejected["not NFC"] > 0
    for names in drawn_in_every_way(model, 200, {"seed": 1, "temperature": 5.0}):
        assert names == expected
    assert all(unicodedata.is_normalized("NFC", name) for name in expected)
    assert np.isfinite(model.score(expected)).all()
    assert np.isfinite(evaluate_model(model, corpus).train.loss)  # type: ignore[union-attr]


# Patterns


ALPHABET = Vocabulary("ab")


@st.composite
def regular_expressions(draw: st.DrawFn, depth: int = 2) -> str:
    if not depth:
        return draw(st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "c", ""]))
    inner = [f"(?:{draw(regular_expressions(depth - 1))})" for _ in range(draw(st.integers(1, 2)))]
    joined = draw(st.sampled_from(["", "|"])).join(inner)
    return f"(?:{joined}){draw(st.sampled_from(['', '', '?', '*', '+', '{2}', '{1,3}', '{2,}']))}"


@given(regular_expressions(), st.integers(0, 2), st.integers(1, 4), st.text("ab", max_size=3))
@example("(?:(?:a*)*)*", 0, 4, "")
@hypothesis_settings(max_examples=300)
def test_a_constraint_allows_exactly_what_the_pattern_matches(
    pattern: str, least: int, extra: int, prefix: str
) -> None:
    """Compare all names over two symbols with Python's ``re``, which never ends on deeply nested patterns."""
    from sequentia.constraints import Constraint

    most = least + extra
    prefix = prefix[:most]
    matching = {
        name
        for length in range(least, most + 1)
        for name in map("".join, itertools.product("ab", repeat=length))
        if re.fullmatch(pattern, name) and name.startswith(prefix)
    }
    constraint = Constraint(ALPHABET.symbols, least, most, pattern)
    ids = ALPHABET.encode(prefix)
    start = constraint.state(ids)
    possible = constraint.possible(len(prefix), np.array([start]))
    assert possible is not None
    assert possible.tolist() == [bool(matching)]
    if not matching:
        return
    assert constraint.count(len(prefix), start) == len(matching)

    def walk(name: str, state: int) -> set[str]:
        if len(name) == most:
            return {name}
        allowed = constraint.allowed(len(name), np.array([state]))
        assert allowed.any(), "a dead end"
        found = {name} if allowed[0, 0] else set()
        for i in np.flatnonzero(allowed[0, 1:]) + 1:
            (after,) = constraint.after(np.array([state]), np.array([i])).tolist()
            found |= walk(name + ALPHABET.symbols[i - 1], after)
        return found

    assert walk(prefix, start) == matching


@pytest.mark.parametrize("pattern", ["(a|t).*(a|i).{7}", "(.*a.*i.*){5}"])
def test_a_pattern_with_many_ways_to_match_is_met(moons: SequenceModel, pattern: str) -> None:
    """The complete automata of these patterns are exponential."""
    names = moons.generate(3, seed=1, pattern=pattern, max_length=40)
    assert [bool(re.fullmatch(pattern, name)) for name in names] == [True] * 3


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("((((.{9}){9}){9}){9}){9}", "it needs more than 4,096 states"),
        (".*a.{300}", "it needs more than 4,096 states"),
        ("(" * 2000 + ")" * 2000, "it is nested too deeply"),
    ],
)
def test_a_pattern_that_would_never_end_is_refused(moons: SequenceModel, pattern: str, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        moons.generate(3, seed=1, pattern=pattern, max_length=40)


def test_many_states_are_refused() -> None:
    with pytest.raises(OptionError, match="too complex: it needs more than 4,096 states"):
        compile_pattern("(a|b)*a(a|b){14}", ("a", "b"), 40)


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "*a", "(?=a)", "a{2,1}"])
def test_what_is_no_pattern(moons: SequenceModel, pattern: str) -> None:
    with pytest.raises(OptionError, match="cannot be read") as caught:
        moons.generate(pattern=pattern)
    assert caught.value.option == "pattern"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?i)anna", r"flags such as \(\?i\) are not supported"),
        ("(?im:anna)", r"flags such as \(\?i\) are not supported"),
        ("an(?=na).*", "look-ahead and look-behind are not supported"),
        ("an(?<!x)na", "look-ahead and look-behind are not supported"),
        (r"\bann", "a pattern always matches the whole name"),
        (r"(a)n\1", "back-references are not supported"),
        (r"\p{L}+", "Unicode categories are not supported"),
        ("an++a", "possessive repetitions are not supported"),
        ("a{,3}", r"a repetition needs its minimum: write \{0,3\}"),
        (r"\0", "octal escapes are not supported"),
        ("(?>an)na", "groups with \\? are not supported"),
        (r"\h", "this escape is not supported"),
        (r"a\-b", "outside a class, write - without"),
        ("[a-]+", r"in a class, write - as \\-"),
        ("[anna", r"a \[ is not closed by \]"),
        ("(anna", r"a \( is not closed by \)"),
        ("anna)", r"a \) has no matching \("),
        ("a{3,2}", "minimum is greater than its maximum"),
        ("a**", "a repetition has nothing to repeat"),
        ("(" * 3000, r"a \( is not closed by \)|nested too deeply"),
    ],
)
def test_what_patterns_do_not_have_is_said(moons: SequenceModel, pattern: str, reason: str) -> None:
    with pytest.raises(OptionError, match=reason) as caught:
        moons.generate(pattern=pattern)
    assert "supported syntax: symbols, ., classes such as [a-e]" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_pattern_is_normalised_as_names_are(moons: SequenceModel) -> None:
    assert moons.generate(2, pattern="\u1e69?ti.*", seed=1) == moons.generate(2, pattern="s\u0323\u0307?ti.*", seed=1)


@pytest.mark.parametrize("pattern", [r"\W", r"\S\D\W", "(?P<N>5)", r"[^\w]"])
def test_no_hint_about_what_is_syntax(moons: SequenceModel, pattern: str) -> None:
    with pytest.raises(OptionError) as caught:
        moons.generate(pattern=pattern)
    assert "; it has" not in str(caught.value)
    assert "stand for themselves" not in str(caught.value)


def test_the_case_that_the_alphabet_has_is_named(moons: SequenceModel) -> None:
    with pytest.raises(OptionError, match="it has 't', not 'T'"):
        moons.generate(pattern="Ti.*")


def test_contradictions_are_told_before_sampling(moons: SequenceModel) -> None:
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"pattern": "ma.*", "prefix": "ti"}, "no name of 1 to 15 symbols starts with 'ti' and matches the pattern"),
        ({"pattern": "ti", "min_length": 3}, "no name of 3 to 15 symbols matches"),
        ({"pattern": ".{9}", "max_length": 8}, "no name of 1 to 8 symbols matches"),
        ({"pattern": "[0-9]+"}, "in the model's alphabet"),
        ({"pattern": "^ti$"}, r"\^ and \$ stand for themselves"),
        ({"pattern": ""}, "matches the pattern ''"),
    )
    for options, message in cases:
        most = moons.config.max_length
        with pytest.raises(
            OptionError, match=message.replace("1 to 15", f"1 to {most}").replace("3 to 15", f"3 to {most}")
        ):
            moons.stream(**options)
    with pytest.raises(GenerationError, match="7 different names were requested, but the constraints allow 6"):
        moons.generate(7, pattern="(ti|ca|io){1}[ab]", unique=True)
    assert sorted(moons.generate(6, pattern="(ti|ca|io){1}[ab]", temperature=3, unique=True)) == [
        "caa", "cab", "ioa", "iob", "tia", "tib"
    ]  # fmt: skip


def test_what_rejects_everything_is_counted(moons: SequenceModel) -> None:
    with pytest.raises(GenerationError, match=r"gave up after [\d,]+ rejected candidates in a row") as caught:
        moons.generate(1, pattern="ti|io", exclude=["ti", "io"])
    assert caught.value.rejected.keys() == {"constraints", "exclude"}
    assert caught.value.rejected["exclude"] == pytest.approx(16_384, rel=0.1)
    with pytest.raises(GenerationError, match=r"novel 1$|novel 1;") as caught:
        sequentia.generate(1, novel=True, temperature=0)
    assert (caught.value.candidates, caught.value.rejected) == (1, {"novel": 1})


def rarely_accepted(model: SequenceModel, share: float) -> dict[str, Any]:
    """Return options that accept an attempt with at most this probability, but not never."""
    names = np.array(["t" + symbol for symbol in model.vocabulary.symbols])
    probabilities = np.exp(model.score(names.tolist()))
    order = np.argsort(-probabilities)
    names, probabilities = names[order], probabilities[order]
    accepted = 1 - np.cumsum(probabilities) / probabilities.sum()
    excluded = np.count_nonzero(accepted > share) + 1
    assert excluded < len(names)
    return {"pattern": "t.", "exclude": names[:excluded].tolist(), "seed": "titan"}


def test_names_before_one_that_cannot_be_found_are_kept(moons: SequenceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same names and counts from batches of any size, on any number of threads."""
    monkeypatch.setattr("sequentia.rejection._MAX_ATTEMPTS", 60)
    options = rarely_accepted(moons, 0.08)
    found = set()
    for batch, candidates, threads in itertools.product([1, 7, 400], [1, 64, 4096], [1, 4]):
        monkeypatch.setattr("sequentia.generation._MAX_BATCH", batch)
        monkeypatch.setattr("sequentia.generation._CANDIDATES", candidates)
        with pytest.raises(GenerationError) as caught:
            SequenceModel(moons._artifact, threads=threads).generate(400, **options)
        error = caught.value
        found.add((str(error), tuple(error.names), error.candidates, tuple(error.rejected.items())))
    ((message, names, total, rejected),) = found
    assert 5 < len(names) < 400
    assert total == len(names) + sum(dict(rejected).values())
    assert f"accepted: {len(names)}, rejected: " in message
    assert f"exclude {dict(rejected)['exclude']:,};" in message
    assert moons.generate(len(names), **options) == list(names)


def test_a_rejected_name_leaves_the_others_as_they_are(moons: SequenceModel) -> None:
    plain = moons.generate(500, seed=4)
    banned = set(plain[::7])
    names = moons.generate(500, seed=4, exclude=banned)
    assert not banned & set(names)
    assert [new for old, new in zip(plain, names, strict=True) if old not in banned] == [
        name for name in plain if name not in banned
    ]


def test_names_that_are_hardly_ever_accepted_are_found_one_by_one(moons: SequenceModel) -> None:
    """Batches of any size give the same 9 names, though about one attempt in a hundred is accepted."""
    options = rarely_accepted(moons, 0.01)
    reference = Reference(moons, Options(**options))
    expected = list(itertools.islice(reference.names(), 9))
    assert reference.rejected["exclude"] > 100
    for batch in (1, 2, 9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sequentia.generation._MAX_BATCH", batch)
            assert moons.generate(9, **options) == expected


def test_what_nothing_can_meet_is_given_up_soon(moons: SequenceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a million names only the first few are drawn more than once."""
    drawn: list[int] = []
    attempts = draw_attempts

    def counted(*arguments: Any) -> Attempts:
        drawn.append(len(arguments[3]) * len(arguments[4]))
        return attempts(*arguments)

    monkeypatch.setattr("sequentia.generation.draw_attempts", counted)
    with pytest.raises(GenerationError):
        moons.generate(1_000_000, pattern="ti|io", exclude=["ti", "io"])
    assert drawn[0] == generation._MAX_BATCH
    assert sum(drawn[1:]) < 2_000_000
    assert len(drawn) < 100


# Probabilities


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> SequenceModel:
    """Return a model of three symbols: all its names of up to four symbols can be enumerated."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "list.txt").write_text("\n".join(["ab", "abc", "ba", "cab", "bb", "acca", "c"] * 8), encoding="utf-8")
    train(folder / "list.txt", folder / "run", recipe="mlp", overrides=["steps=60", "block_size=3"])
    export(folder / "run", folder / "run")
    return sequentia.load(folder / "run")


def enumerated(
    model: SequenceModel,
    *,
    where: dict[str, str] | None = None,
    prefix: str = "",
    pattern: str = ".*",
    suffix: str = "",
    avoid: Iterable[str] = (),
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 2.0,  # above the sum of all: rounding leaves no symbol out
    min_length: int = 1,
    max_length: int = 4,
) -> dict[str, float]:
    """Return the probability of each name given that it meets the constraints."""
    probability: dict[str, float] = {}

    def meets_the_constraints(name: str) -> bool:
        return bool(
            len(name) >= min_length
            and re.fullmatch(pattern, name)
            and name.endswith(suffix)
            and not any(string in name for string in avoid)
        )

    def go(so_far: str, p: float) -> None:
        following = model.next_symbols(so_far, where=where)
        mass = {s: q ** (1 / temperature) for s, q in following.items() if s or so_far}
        best = sorted(mass, key=lambda s: -mass[s])[:top_k]
        total, kept = sum(mass[s] for s in best), list[str]()
        for symbol in best:
            if sum(mass[s] for s in kept) < top_p * total:
                kept.append(symbol)
        for symbol in kept:
            share = p * mass[symbol] / sum(mass[s] for s in kept)
            if not symbol:
                if meets_the_constraints(so_far):
                    probability[so_far] = share
            elif len(so_far) < max_length:
                go(so_far + symbol, share)

    go(prefix, 1.0)
    met = sum(probability.values())
    return {name: p / met for name, p in probability.items()}


@pytest.mark.parametrize("orders", [(), (0,), (2, 1, 0)], ids=["free", "guided roughly", "guided"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prefix": "a"},
        {"pattern": "a.*|.b.?"},
        {"pattern": "(ab|c)*", "prefix": "c"},
        {"top_k": 2},
        {"top_p": 0.7},
        {"min_length": 3},
        {"max_length": 2},
        {"suffix": "a"},
        {"suffix": "ca", "min_length": 3},
        {"suffix": "bb", "prefix": "b"},
        {"avoid": ["a"]},
        {"avoid": ["ab", "cc", "b"], "max_length": 3},
        {"avoid": ["ab"], "top_k": 3},
        {"suffix": "b", "top_p": 0.9},
        {"prefix": "c", "pattern": ".*a.*", "suffix": "b", "avoid": ["bb"]},
        {"pattern": ".*[ab]", "avoid": ["ba"], "top_k": 3, "top_p": 0.95, "min_length": 2},
    ],
    ids=str,
)
def test_sampled_frequencies_are_the_enumerated_probabilities(
    tiny: SequenceModel,
    options: dict[str, Any],
    temperature: float,
    orders: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """20,000 names: Pearson's chi-square is above the bound once in a million, so of 102 cases once in 10,000 seeds.

    Rare names are counted together, so that 10 or more are expected. No weight is clipped.
    """
    monkeypatch.setattr("sequentia.generation._FREE_ATTEMPTS", 0)
    monkeypatch.setattr("sequentia.lookahead._CLIPPED", 0.0)
    monkeypatch.setattr("sequentia.lookahead._COMMON", 2.0)
    monkeypatch.setattr("sequentia.lookahead._ORDERS", orders)  # without any, attempts are free
    monkeypatch.setattr("sequentia.lookahead._GAIN", 0.0)
    check_frequencies(SequenceModel(tiny._artifact), {"temperature": temperature, **options}, guided=bool(orders))


@pytest.mark.parametrize(
    ("options", "orders"),
    [
        ({}, ()),
        ({}, (2, 1, 0)),
        ({"suffix": "c"}, (2, 1, 0)),
        ({"pattern": ".*g[a-d].*", "temperature": 0.8}, (2, 1, 0)),
    ],
    ids=str,
)
def test_sampled_frequencies_under_conditions_are_the_enumerated_probabilities(
    conditioned: SequenceModel, options: dict[str, Any], orders: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same test of names under different conditions, one model for all: 36 cases, so once in 27,000 seeds."""
    monkeypatch.setattr("sequentia.generation._FREE_ATTEMPTS", 0)
    monkeypatch.setattr("sequentia.lookahead._CLIPPED", 0.0)
    monkeypatch.setattr("sequentia.lookahead._COMMON", 2.0)
    monkeypatch.setattr("sequentia.lookahead._ORDERS", orders)
    monkeypatch.setattr("sequentia.lookahead._GAIN", 0.0)
    model = SequenceModel(conditioned._artifact)
    first, last = ({name: values[i] for name, values in model.conditions.items()} for i in (0, -1))
    alone = dict([next(iter(model.conditions.items()))])
    for where in (first, last, {name: values[1] for name, values in alone.items()}):
        check_frequencies(model, {"where": where, "max_length": 3, **options}, guided=bool(orders))


def check_frequencies(model: SequenceModel, given: dict[str, Any], *, guided: bool) -> None:
    """Compare 20,000 names with their probabilities by Pearson's chi-square; once in a million it is too large."""
    n, expected = 20_000, enumerated(model, **given)
    plan = Plan.of(given, model.vocabulary, model.config.max_length)
    assert (model._methods(given).of(plan).proposal is not None) == guided
    counts = Counter(model.generate(n, seed=29, **given))
    assert set(counts) <= set(expected)
    groups = [(0, 0.0)]
    for name, p in sorted(expected.items(), key=lambda item: item[1]):
        if groups[-1][1] >= 10:
            groups.append((0, 0.0))
        groups[-1] = groups[-1][0] + counts[name], groups[-1][1] + n * p
    freedom = len(groups) - 1
    statistic = sum((observed - mean) ** 2 / mean for observed, mean in groups)
    part = 2 / (9 * max(freedom, 1))
    assert statistic <= freedom * (1 - part + 4.76 * part**0.5) ** 3 + 1e-6  # Wilson and Hilferty 1931


def test_every_name_of_the_language_is_reached(tiny: SequenceModel) -> None:
    pattern = "(a|b)?c[ab]*"
    language = set(enumerated(tiny, pattern=pattern))
    names = tiny.generate(len(language), max_length=4, pattern=pattern, unique=True, temperature=9, seed=0)
    assert set(names) == language


# The most probable names


@pytest.mark.parametrize("options", [{}, {"prefix": "ab"}, {"pattern": ".*c.*"}, {"min_length": 3}])
def test_the_most_likely_names_are_those_of_all_names(tiny: SequenceModel, options: dict[str, Any]) -> None:
    names = list(enumerated(tiny, **options))
    scores = dict(zip(names, tiny.score(names).tolist(), strict=True))
    expected = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    for n in (0, 1, 7, len(names), len(names) + 5):
        assert tiny.most_likely(n, max_length=4, **options) == expected[:n]


def test_the_most_likely_names_of_a_real_model() -> None:
    model = sequentia.load()
    found = model.most_likely(200)
    assert [score for _, score in found] == model.score([name for name, _ in found]).tolist()
    drawn = sorted(set(model.generate(20_000, seed=1)))
    best = dict(found)
    missed = [name for name, p in zip(drawn, model.score(drawn), strict=True) if p > found[-1][1] and name not in best]
    assert missed == []
    assert model.most_likely(3, exclude=[found[0][0]]) == found[1:4]
    novel = model.most_likely(5, novel=True)
    assert not model._artifact.known.contains([name for name, _ in novel]).any()  # type: ignore[union-attr]
    assert model.most_likely(1, prefix="zyx")[0][0].startswith("zyx")


def test_a_search_without_an_end_is_given_up(moons: SequenceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sequentia.search.MOST_PREFIXES", 100)
    with pytest.raises(GenerationError, match="too many are equally probable") as caught:
        moons.most_likely(100)
    assert len(caught.value.names) == caught.value.accepted
    with pytest.raises(OptionError, match="n must be a whole number from 0 to 100"):
        moons.most_likely(101)


# What a model remembers


def test_contexts_are_computed_once_and_remembered(moons: SequenceModel) -> None:
    calls: list[int] = []

    def counted(contexts: NDArray[np.int64]) -> NDArray[np.float32]:
        calls.append(len(contexts))
        return moons.logits(contexts)

    contexts = LogitCache(counted, moons.config.block_size, moons.vocabulary.size)
    plan = Plan.of({"seed": 1, "max_length": 100}, moons.vocabulary, moons.config.max_length)
    (first,) = stream_names(Methods(contexts), moons.vocabulary, plan, 1000)
    names = moons.vocabulary.decode(first)
    distinct = {name[:i][-4:].rjust(4) for name in names for i in range(len(name) + 1)}
    assert sum(calls) < 1.05 * len(distinct)  # a place in the memory may be taken
    computed = sum(calls)
    (again,) = stream_names(Methods(contexts), moons.vocabulary, plan, 1000)
    np.testing.assert_array_equal(first, again)
    assert sum(calls) - computed < computed / 4


def test_remembered_logits_are_those_of_the_network(moons: SequenceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads share a memory of 16 places, so that contexts push each other out."""
    monkeypatch.setattr("sequentia.logit_cache._BYTES", 16 * (8 + 2 * moons.vocabulary.size))
    contexts = LogitCache(moons.logits, moons.config.block_size, moons.vocabulary.size)
    random = np.random.Generator(np.random.PCG64(2))
    asked = [random.integers(0, 3, (200, moons.config.block_size)) for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for given_contexts, found in zip(asked, pool.map(contexts.distinct_logits, asked), strict=True):
            logits = moons.logits(given_contexts)
            np.testing.assert_array_equal(found, logits - logits.max(axis=1, keepdims=True))


@given(st.integers(1, 40), st.integers(2, 5000), st.integers(0, 2**32))
def test_keys_tell_contexts_apart(block_size: int, ids: int, seed: int) -> None:
    contexts = LogitCache(lambda rows: np.zeros((len(rows), ids), dtype=np.float32), block_size, ids)
    random = np.random.Generator(np.random.PCG64(seed))
    rows = random.integers(0, ids, (50, block_size))
    rows[:, : random.integers(0, block_size)] = 0
    rows[::2] = ids - 1 if random.integers(2) else rows[::2]
    keys = contexts.keys(rows)
    if keys is not None:
        assert (keys >= 0).all()
        assert len(np.unique(keys)) == len(np.unique(rows, axis=0))


# Names of the training list


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=30), st.text())
def test_known_names_are_never_let_through(names: list[str], other: str) -> None:
    known = KnownNames.of(names)
    assert known.contains(names).all()
    assert (
        KnownNames.from_bytes(known.to_bytes()).contains([*names, other]).tolist()
        == known.contains([*names, other]).tolist()
    )
    assert len(known.to_bytes()) <= 4 * len(set(names))


def test_another_name_is_hardly_ever_taken_for_a_known_one() -> None:
    """100,000 names against 10,000 hashes: 0.23 expected, so more than 5 once in 4 million lists."""
    known = KnownNames.of(f"name{i}" for i in range(10_000))
    assert known.contains([f"other{i}" for i in range(100_000)]).sum() <= 5


def test_a_private_list_leaves_no_hashes(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    train(MOONS, tmp_path / "run", recipe="bigram-counts")
    export(tmp_path / "run", folder)
    assert len(sequentia.load(folder).generate(5, novel=True)) == 5
    known = (folder / "novelty.crc32").read_bytes()
    assert known == KnownNames.of(MOON_NAMES).to_bytes()

    private = tmp_path / "private"
    train(MOONS, private, recipe="bigram-counts", overrides=["novelty=false"])
    export(private, folder)  # over the other model, whose hashes must not stay
    assert not (folder / "novelty.crc32").exists()
    with pytest.raises(OptionError, match="has no hashes of its training names"):
        sequentia.load(folder).generate(novel=True)


def test_the_bundled_model_avoids_its_list(names_txt: Path | None) -> None:
    names = sequentia.generate(2000, seed=1, novel=True)
    assert not sequentia.load()._artifact.known.contains(names).any()  # type: ignore[union-attr]
    if names_txt is not None:
        assert not set(names) & set(names_txt.read_text(encoding="utf-8").split())
