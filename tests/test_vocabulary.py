import pickle
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sequentia import VocabularyError
from sequentia.vocabulary import Vocabulary

SYMBOLS = st.characters(exclude_categories=["Cs", "Cc", "Cn", "Zl", "Zp"], exclude_characters="\ufffc\ufffd")


@given(st.text(SYMBOLS, min_size=1))
def test_every_text_round_trips(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    vocabulary = Vocabulary(sorted(set(text)))
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64
    assert 0 not in ids
    assert vocabulary.decode(ids[None]) == [text]
    assert vocabulary.size == len(set(text)) + 1


@pytest.mark.parametrize("text", [".", "Mary Ann", "O'Brien", "👍🏽", "🇨🇿", "👩‍👩‍👧", "王小明", "Ångström"])
def test_symbols_that_are_special_elsewhere(text: str) -> None:
    vocabulary = Vocabulary(sorted(set(unicodedata.normalize("NFC", text))))
    assert vocabulary.decode(vocabulary.encode(text)[None]) == [unicodedata.normalize("NFC", text)]


def test_text_is_composed_before_it_is_encoded() -> None:
    assert Vocabulary("é").encode("e\N{COMBINING ACUTE ACCENT}").tolist() == [1]


def test_rows_end_at_the_boundary() -> None:
    assert Vocabulary("abc").decode(np.array([[1, 2, 0], [3, 0, 0], [0, 0, 0], [1, 2, 3]])) == [
        "ab",
        "c",
        "",
        "abc",
    ]


@pytest.mark.parametrize("shape", [(0, 4), (2, 0)])
def test_nothing_to_decode(shape: tuple[int, int]) -> None:
    assert Vocabulary("abc").decode(np.zeros(shape, dtype=np.int64)) == [""] * shape[0]


def test_an_unknown_symbol_is_named_with_its_place() -> None:
    with pytest.raises(VocabularyError, match=r"'emxa' contains 'x' at position 2") as caught:
        Vocabulary("aem").encode("emxa")
    assert (caught.value.symbol, caught.value.position, caught.value.text) == ("x", 2, "emxa")


@pytest.mark.parametrize("symbols", [["ab"], [""], ["a", "a"], ["\0"], ["\n"], ["\ud800"]])
def test_invalid_alphabets(symbols: list[str]) -> None:
    with pytest.raises(VocabularyError):
        Vocabulary(symbols)


def test_value_semantics() -> None:
    vocabulary = Vocabulary("abc")
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary
    assert len({vocabulary, Vocabulary("abc"), Vocabulary("abd")}) == 2
    assert vocabulary != "abc"


@pytest.mark.parametrize(
    "symbol", ["\t", "\x0b", "\x1b", "\x1c", "\x85", "\x9b", "\u2028", "\u2029", "\ufffd", "\uffff"]
)
def test_symbols_not_allowed_in_names(symbol: str) -> None:
    with pytest.raises(VocabularyError, match="not one code point that is allowed in a name"):
        Vocabulary(["a", symbol])


def test_no_symbol_ends_a_line() -> None:
    """Names written one per line are split into the same lines by ``str.splitlines``, whatever their symbols."""
    for symbol in map(chr, range(0x110000)):
        if len(f"a{symbol}b".splitlines()) > 1:
            with pytest.raises(VocabularyError):
                Vocabulary([symbol])


@pytest.mark.parametrize(
    ("alphabet", "text", "other"),
    [
        ("amr", "Mar", "mar"),
        ("AMR", "mar", "MAR"),
        ("Mar", "MAR", "Mar"),
        ("áéi", "ÉÁ", "éá"),
        ("ar", "Mar", None),
        ("mar", "Mar!", None),
        ("ß", "SS", None),
    ],
)
def test_the_other_case_is_suggested(alphabet: str, text: str, other: str | None) -> None:
    with pytest.raises(VocabularyError) as caught:
        Vocabulary(alphabet).encode(text)
    symbol = caught.value.symbol
    if other is None:
        assert "try" not in str(caught.value)
    else:
        assert str(caught.value) == f"the model's alphabet has no {symbol!r}; try {other!r}"
